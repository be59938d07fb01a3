"""The baselines of a log, read from its records and from nothing else."""

import threading
from collections.abc import Callable

from swt3_agent.errors import AgentError
from swt3_agent.protocol.baseline import (
    Accepted,
    Baseline,
    BaselineChange,
    encode_baseline,
    parse_baseline,
)
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.drafts import Draft
from swt3_agent.store.journal import Journal

_PROVENANCE = canonical_json({"listener": "agent"})


class Baselines:
    """What is in force, by subject; any thread may ask."""

    def __init__(self, journal: Journal, catalogue: Catalogue) -> None:
        self._journal = journal
        self._catalogue = catalogue
        self._known: dict[str, tuple[int, BaselineChange]] = {}
        self._read_to = 0
        self._lock = threading.RLock()

    def newest(self, subject: str) -> tuple[int, BaselineChange] | None:
        """The newest change and its record; None: there never was one.

        Raises FormatError where a record cannot be read: then nothing is known of what is in
        force, and no older record may speak for it. JournalError.
        """
        with self._lock:
            for seq in self._catalogue.records_of(Kind.BASELINE, self._read_to):
                change = self.read(seq)
                self._known[change.subject] = seq, change
                self._read_to = seq + 1
            return self._known.get(subject)

    def read(self, seq: int) -> BaselineChange:
        """The change that record ``seq`` is. Raises as ``newest``."""
        return parse_baseline(self._journal.read(seq).payload, seq)

    def of(self, subject: str) -> Baseline:
        """What is in force. Raises as ``newest``."""
        found = self.newest(subject)
        return Baseline() if found is None else found[1].baseline

    def accepted(self, subject: str, now_ms: int) -> tuple[Accepted, ...] | Reason:
        """What is accepted at this time (UTC), as appraisal wants it; or why nobody can tell."""
        try:
            return self.of(subject).at(now_ms)
        except AgentError as error:
            return Reason.of(error)

    def change(self, subject: str, change: Callable[[Baseline], BaselineChange]) -> int:
        """Record what ``change`` makes of what is in force, durably; its sequence number.

        One change at a time. Raises as ``newest``, ``encode_baseline`` and ``change``.
        """
        with self._lock:
            payload = encode_baseline(change(self.of(subject)))
            draft = Draft(Kind.BASELINE, _PROVENANCE, payload)
            return self._journal.append([draft]).result().first_seq
