"""Reading the log for the days: which anchors name which day (docs/protocol.md 9)."""

from collections.abc import Iterable

import msgspec

from swt3_agent.protocol.day_tree import FingerprintSet
from swt3_agent.protocol.days import Seal, own_day, seal_of
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.protocol.strict_json import MALFORMED

_ANCHORS = frozenset({Kind.MINTED, Kind.RELAYED})
_OLDEST = 366  # days told apart before the newest: what is named older goes to the first sealed


class _Provenance(msgspec.Struct, gc=False):
    tenant: str | None = None


class _Anchor(msgspec.Struct, gc=False):
    anchor_fingerprint: str
    anchor_epoch: int


_decode_provenance = msgspec.json.Decoder(_Provenance).decode
_decode_anchor = msgspec.json.Decoder(_Anchor).decode


class AnchorReader:
    """Picks a tenant's anchors out of records."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._provenance = b""  # of the record before: those of a batch share it
        self._ours = False

    def read(self, record: Record) -> tuple[int, int] | None:
        """Fingerprint and own day of an anchor of the tenant; None for any other record."""
        if record.kind not in _ANCHORS:
            return None
        if record.provenance != self._provenance:
            self._provenance = record.provenance
            try:
                self._ours = _decode_provenance(record.provenance).tenant == self._tenant
            except MALFORMED:
                self._ours = False
        if not self._ours:
            return None
        try:
            anchor = _decode_anchor(record.payload)
            fingerprint = int(anchor.anchor_fingerprint, 16)
        except MALFORMED:
            return None
        if len(anchor.anchor_fingerprint) != 12 or fingerprint < 0:
            return None
        return fingerprint, own_day(anchor.anchor_epoch, record.received_ns)


class DayScan:
    """Collects the anchors that no seal has taken, by the day they name.

    ``seals`` are those that reach into what is read, ``after`` is the newest sealed day and
    ``today`` the day that runs. Anchors of ``after`` and before
    stand together under it, and those of a day that has not come under ``today + 1``.
    """

    def __init__(self, tenant: str, seals: Iterable[Seal], after: int, today: int) -> None:
        self._reader = AnchorReader(tenant)
        self._seals = tuple(seals)
        self._until = max((seal.end for seal in self._seals), default=0)
        self._oldest = max(after, today - _OLDEST)
        self.today = today
        self.days: dict[int, FingerprintSet] = {}
        self._first: dict[int, int] = {}

    def see(self, record: Record) -> None:
        """The next record, in the order of the log."""
        anchor = self._reader.read(record)
        if anchor is None:
            return
        fingerprint, day = anchor
        if record.seq < self._until and seal_of(self._seals, record.seq, day) is not None:
            return
        day = min(max(day, self._oldest), self.today + 1)
        if day not in self.days:
            self.days[day] = FingerprintSet()
            self._first[day] = record.seq
        self.days[day].add(fingerprint)

    def share(self, dates: list[int]) -> dict[int, list[FingerprintSet]]:
        """What each of ``dates``, in order, takes when it is sealed now, its own day's first."""
        shares: dict[int, list[FingerprintSet]] = {date: [] for date in dates}
        for day, part in sorted(self.days.items()):
            taker = next((date for date in dates if day <= date or day > self.today), None)
            if taker is not None:
                shares[taker].insert(0 if taker == day else len(shares[taker]), part)
        return shares

    def waiting_from(self, newest: int, end: int) -> int:
        """First record that waits for a day after ``newest``; ``end`` where none does."""
        waiting = [seq for day, seq in self._first.items() if newest < day <= self.today]
        return min(waiting, default=end)
