"""The days that are not sealed yet: their trees as they would be if they were sealed now."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from swt3_agent.protocol.day_tree import DayTree
from swt3_agent.protocol.days import day_to_seal, days_to_seal, utc_day
from swt3_agent.protocol.record import Record
from swt3_agent.store.day_scan import DayScan
from swt3_agent.store.journal import Journal
from swt3_agent.store.seals import SealRecord, Seals, newest_before

_PATIENCE = 20.0  # a tree is built anew when twenty times what it cost has passed

_DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class OpenTree:
    """The tree of a day that still grows: over the first ``size`` records of the log."""

    tree: DayTree
    late: int
    size: int


@dataclass(frozen=True, slots=True)
class _Built:
    open: OpenTree
    at_s: float
    cost_s: float


class OpenDays:
    """Follows the anchors that no seal has taken. Its caller lets one thread at it at a time."""

    def __init__(
        self,
        journal: Journal,
        seals: Seals,
        tenant: str,
        breathe: Callable[[], None],
        clock_s: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._seals = seals
        self._tenant = tenant
        self._breathe = breathe
        self._clock_s = clock_s
        self._scan: DayScan | None = None
        self._key: tuple[int, ...] = ()
        self._position = 0
        self._dates: list[int] = []
        self._built: dict[int, _Built] = {}

    def tree(self, day: int, *, covering: int | None = None) -> OpenTree | None:
        """The tree of ``day`` so far; None where it is not open: sealed, to come, before the log.

        It may be a little old where it is large; ``covering`` is a record that must be looked at.
        """
        self._follow()
        if self._scan is None or day not in self._dates:
            return None
        built = self._built.get(day)
        if built is not None and (covering is None or covering < built.open.size):
            age_s = time.monotonic() - built.at_s
            if built.open.size == self._position or age_s < _PATIENCE * built.cost_s:
                return built.open
        started = time.monotonic()
        parts = self._scan.share(self._dates)[day]
        tree = DayTree(parts, self._breathe)
        own = self._scan.days.get(day)
        late = len(tree) - (0 if own is None else own.count)
        found = OpenTree(tree, late, self._position)
        self._built[day] = _Built(found, time.monotonic(), time.monotonic() - started)
        return found

    def day_of(self, own_day: int) -> int | None:
        """The open day that an anchor belongs to which names ``own_day`` and is in no seal."""
        self._follow()
        today = utc_day(self._clock_s())
        return next((day for day in self._dates if own_day <= day or own_day > today), None)

    def _follow(self) -> None:
        sealed = self._seals.all()
        now_s = self._clock_s()
        today, newest = utc_day(now_s), day_to_seal(now_s)
        first = first_day(self._journal, now_s)
        after = newest_before(sealed, newest, first - 1)
        size = self._journal.size
        if self._scan is None or self._key != (len(sealed), after, today):
            self._key = len(sealed), after, today
            self._position = waiting_from(self._seals)
            rivals = [one.seal for one in sealed if one.seal.end > self._position]
            self._scan = DayScan(self._tenant, rivals, after, today)
            self._built.clear()
        see: Callable[[Record], None] = self._scan.see
        for count, record in enumerate(self._journal.scan(self._position, size), 1):
            see(record)
            if count % 512 == 0:
                self._breathe()
        self._position = max(self._position, size)
        running = range(max(newest + 1, first), today + 1)
        self._dates = self._open_dates(sealed, after, newest, running)

    def _open_dates(
        self, sealed: list[SealRecord], after: int, newest: int, running: range
    ) -> list[int]:
        assert self._scan is not None  # noqa: S101  its only caller has just made it
        closed = {one.seal.day for one in sealed}
        dates = days_to_seal(self._scan.days, after, newest) if newest > after else []
        dates += running
        return [day for day in dates if day not in closed]


def first_day(journal: Journal, now_s: float) -> int:
    """The UTC day on which the log began: no day before it is sealed or shown.

    A log that began on a day to come was begun by a wrong clock: then it is the newest day that can
    be sealed, or no day would be until then. Raises JournalError where the log has no record.
    """
    began = journal.read(0).received_ns // _DAY_NS
    return began if began <= utc_day(now_s) else day_to_seal(now_s)


def waiting_from(seals: Seals) -> int:
    """First record that no seal may have taken."""
    last = seals.last_audit()
    return 0 if last is None else last[1].next
