"""What the command line may ask of the days: the same as clients may over HTTP."""

from typing import Any

from swt3_agent.config import Config
from swt3_agent.daemon.stopped import stopped_log
from swt3_agent.errors import UsageError
from swt3_agent.store.days import DayTrees


def merkle(days: DayTrees, date: str | None, fingerprint: str | None) -> dict[str, Any]:
    """The tree of ``date`` (None: the last sealed day), or the proof of an anchor in its day's.

    Raises UsageError ``NO_SUCH_DAY``, ``NO_SUCH_RECORD``, FormatError, JournalError.
    """
    if fingerprint is not None:
        return _proof(days, date, fingerprint.lower())
    date = date or days.last_sealed()
    found = None if date is None else days.root(date)
    if found is None:
        raise UsageError(
            "NO_SUCH_DAY",
            "no day is sealed yet" if date is None else f"there is no tree of {date}",
            remedy="name a day that the log reached: today's is shown as it is so far;"
            " a day is sealed at 00:15 UTC after it",
        )
    return found


def stopped_merkle(config: Config, date: str | None, fingerprint: str | None) -> dict[str, Any]:
    """The same where no daemon runs."""
    with stopped_log(config) as log:
        return merkle(DayTrees(log.journal, log.catalogue, config.tenant), date, fingerprint)


def _proof(days: DayTrees, date: str | None, fingerprint: str) -> dict[str, Any]:
    proof = days.proof(fingerprint)
    if proof is None or date not in (None, proof["day"]["date"]):
        where = "" if proof is None else f" of {date}: it is in that of {proof['day']['date']}"
        raise UsageError(
            "NO_SUCH_RECORD",
            f"the fingerprint {fingerprint} is not in {'the log' if proof is None else 'the tree'}"
            f"{where}",
            remedy="see `swt3-agent log`, or ask without a date",
        )
    return proof
