"""The daily roll-up: the log checks itself, the days that have ended are sealed, and AI-AUDIT.1 is
minted for each (docs/formats.md, "Daily roll-up").

A collector like any other, so that what it found is recorded before it is judged. The scheduler
runs it when a day is due; asked by hand it checks the log and seals only what is due.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from swt3_agent.daemon.breath import Breath
from swt3_agent.errors import JournalError
from swt3_agent.protocol.day_tree import DayTree
from swt3_agent.protocol.days import date_of, day_to_seal, days_to_seal, utc_day
from swt3_agent.protocol.evidence import Evidence, Reading, Reason, RootOfTrust
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.day_scan import DayScan
from swt3_agent.store.days import DayTrees
from swt3_agent.store.journal import Journal
from swt3_agent.store.open_days import first_day, waiting_from
from swt3_agent.store.seals import AUDIT, LogState, SealedDay, Stated, newest_before
from swt3_agent.store.self_check import SelfCheck, check_log
from swt3_agent.telemetry import fields

logger = logging.getLogger(__name__)

_HALF_A_DAY_S = 12 * 3600.0
_STOP_PATIENCE_S = 5.0


class AuditCollector:
    """Checks the log and seals days. ``found`` is told of damage; ``clock_s`` says the UTC time."""

    name = AUDIT
    interval_s = 86_400.0
    timeout_s = _HALF_A_DAY_S

    def __init__(
        self,
        journal: Journal,
        catalogue: Catalogue,
        days: DayTrees,
        tenant: str,
        *,
        breath: Breath,
        found: Callable[[Iterable[Reason]], None] = lambda _: None,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._journal = journal
        self._catalogue = catalogue
        self._days = days
        self._tenant = tenant
        self._breath = breath
        self._found = found
        self._clock_s = clock_s
        self._failed_for: int | None = None  # the day for which the log could not be read
        self._working = threading.Lock()

    def is_due(self) -> bool:
        """Whether a day can be sealed, or a seal still lacks its anchor."""
        if self._journal.size == 0:
            return False
        now_s = self._clock_s()
        newest = day_to_seal(now_s)
        if newest == self._failed_for:
            return False
        try:
            return self._newest_sealed(now_s) < newest or bool(self._unanchored())
        except JournalError:
            return True  # what cannot be read is for the audit to say

    def is_first(self) -> bool:
        """Whether the log was never checked: so that a new node need not wait for its midnight."""
        try:
            return not self._catalogue.records_of(Kind.EVIDENCE, collector=AUDIT)
        except JournalError:
            return False

    def collect(self) -> Reading:
        """Check the log; seal what is due, if all of it could be read.

        Raises JournalError ``STOPPING``.
        """
        now_s = self._clock_s()
        with self._working:
            try:
                reading = self._audit(now_s)
            except JournalError as error:
                if error.retryable:
                    raise
                reading = self._unreadable(error)
            # What could not be read is not tried again at every turn.
            self._failed_for = day_to_seal(now_s) if reading.claims["log"] is None else None
            return reading

    def stop(self) -> None:
        """End an audit under way: what it reads is about to be closed."""
        self._breath.stop()
        if self._working.acquire(timeout=_STOP_PATIENCE_S):
            self._working.release()

    def _audit(self, now_s: float) -> Evidence:
        newest, today = day_to_seal(now_s), utc_day(now_s)
        after = self._newest_sealed(now_s)
        size = self._journal.size
        first = waiting_from(self._days.seals)
        last = self._days.seals.last_audit()
        rivals = [one.seal for one in self._days.seals.all() if one.seal.end > first]
        scan = DayScan(self._tenant, rivals, after, today)
        check = check_log(
            self._journal,
            self._catalogue,
            first,
            size,
            None if last is None else last[1].log,
            today,
            scan.see,
            self._breath,
        )
        self._found(check.problems)
        days, state = self._unanchored(), None
        follows = first
        if check.root is not None:
            state = LogState(size, check.root.hex())
            if after < newest:
                days += self._seal(scan, days_to_seal(scan.days, after, newest), first, size)
                follows = scan.waiting_from(newest, size)
        claims = _claims(check, state, days)
        if state is None or not days:
            return Evidence(AUDIT, RootOfTrust.SELF_REPORTED, claims)
        stated = Stated(
            self._tenant,
            date_of(today),
            not check.problems,
            state,
            follows,
            tuple(days),
            check.entries,
        )
        return Evidence(AUDIT, RootOfTrust.SELF_REPORTED, claims, msgspec.to_builtins(stated))

    def _unreadable(self, error: JournalError) -> Evidence:
        problem = Reason.of(error)
        self._found([problem])
        nothing = SelfCheck(0, 0, None, None, head_signed=False, problems=(problem,))
        return Evidence(AUDIT, RootOfTrust.SELF_REPORTED, _claims(nothing, None, []))

    def _seal(self, scan: DayScan, dates: list[int], first: int, end: int) -> list[SealedDay]:
        sealed = []
        for day, parts in scan.share(dates).items():
            tree = DayTree(parts, self._breath)
            own = scan.days.get(day)
            late = len(tree) - (0 if own is None else own.count)
            sealed.append(SealedDay(date_of(day), first, end, len(tree), late, tree.root))
            told = fields(date=date_of(day), anchors=len(tree), late=late, root=tree.root or "none")
            logger.info("day sealed %s", told)
            self._days.keep(day, tree)
        return sealed

    def _unanchored(self) -> list[SealedDay]:
        """Days of the newest seal that a crash kept from being judged: they are stated again."""
        last = self._days.seals.last_audit()
        if last is None:
            return []
        record, stated = last
        anchors = self._days.seals.anchors_of(record, len(stated.days))
        return list(stated.days[len(anchors) :])

    def _newest_sealed(self, now_s: float) -> int:
        first = first_day(self._journal, now_s)
        return newest_before(self._days.seals.all(), day_to_seal(now_s), first - 1)


def _claims(check: SelfCheck, state: LogState | None, days: list[SealedDay]) -> dict[str, Any]:
    return {
        "entries": check.entries,
        "size": check.size,
        "verified": not check.problems,
        "problems": [problem.to_json() for problem in check.problems],
        "log": None if state is None else msgspec.to_builtins(state),
        "head": {"size": check.head_size, "signed": check.head_signed},
        "days": msgspec.to_builtins(days),
    }
