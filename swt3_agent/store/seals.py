"""The seals of past days, read from the log: evidence of the collector ``audit``.

What a seal says stands in the record itself (``stated``), so that no lost evidence file can change
which day an anchor belongs to (docs/formats.md, "Daily roll-up").
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import msgspec

from swt3_agent.errors import JournalError
from swt3_agent.protocol.days import Seal, parse_date
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Journal

AUDIT = "audit"
"""The collector whose evidence seals days."""

_MOST_ANCHORS = 256  # minted records looked at after a seal, for those that are its own


class SealedDay(msgspec.Struct, frozen=True):
    """One day of ``stated.days``: its tree's size and root, and the records that it is made of."""

    date: str
    first: int
    end: int
    count: int
    late: int
    root: str


class LogState(msgspec.Struct, frozen=True):
    """Size and root (hex) of the log."""

    size: int
    root: str


class Stated(msgspec.Struct, frozen=True):
    """``stated`` of an audit: what was sealed, and the log as it was found.

    ``next`` is the first record that may belong to a later day; ``verified`` is whether nothing was
    found to be other than stated, and ``entries`` how many records of the log were read for that.
    """

    tenant: str
    today: str
    verified: bool
    log: LogState
    next: int
    days: tuple[SealedDay, ...] = ()
    entries: int = 0


class _Payload(msgspec.Struct):
    collector: str = ""
    stated: Stated | None = None


class _Minted(msgspec.Struct):
    evidence: int | None = None


@dataclass(frozen=True, slots=True)
class SealRecord:
    """A sealed day, the record that says so, and when that was received (UTC ms)."""

    seal: Seal
    day: SealedDay
    audit: Stated
    record: int
    sealed_ms: int


class Seals:
    """The seals of one tenant in the order of the log; any thread may ask."""

    def __init__(self, journal: Journal, catalogue: Catalogue, tenant: str) -> None:
        self._journal = journal
        self._catalogue = catalogue
        self._tenant = tenant
        self._lock = threading.Lock()
        self._read_to = 0
        self._sealed: dict[int, SealRecord] = {}
        self._last: tuple[int, Stated] | None = None

    def all(self) -> list[SealRecord]:
        """All that are in the log by now. Raises JournalError."""
        with self._lock:
            self._refresh()
            return list(self._sealed.values())

    def last_audit(self) -> tuple[int, Stated] | None:
        """The newest audit that sealed a day, and its record. Raises JournalError."""
        with self._lock:
            self._refresh()
            return self._last

    def anchors_of(self, record: int, days: int) -> list[int]:
        """Minted records that were judged by the evidence ``record``, in order: one for each of
        its ``days``, unless a crash came between. Raises JournalError."""
        later = self._catalogue.records_of(Kind.MINTED, record + 1)[:_MOST_ANCHORS]
        of_record = (seq for seq in later if self._evidence_of(seq) == record)
        return list(islice(of_record, days))

    def _evidence_of(self, seq: int) -> int | None:
        try:
            return msgspec.json.decode(self._journal.read(seq).provenance, type=_Minted).evidence
        except MALFORMED:
            return None

    def _refresh(self) -> None:
        size = self._journal.size
        for seq in self._catalogue.records_of(Kind.EVIDENCE, self._read_to, size, collector=AUDIT):
            record = self._journal.read(seq)
            try:
                payload = msgspec.json.decode(record.payload, type=_Payload)
            except MALFORMED as error:
                raise _damaged(seq, str(error)) from error
            if payload.collector != AUDIT or record.kind is not Kind.EVIDENCE:
                raise _misled(seq)
            stated = payload.stated
            if stated is not None and stated.tenant == self._tenant and stated.days:
                self._take(seq, record.received_ns // 1_000_000, stated)
        self._read_to = size

    def _take(self, seq: int, sealed_ms: int, stated: Stated) -> None:
        self._last = seq, stated
        try:
            today = parse_date(stated.today)
            for day in stated.days:
                number = parse_date(day.date)
                seal = Seal(number, day.first, day.end, today)
                before = self._sealed.get(number)
                if before is not None:  # said again, because a crash kept it from its anchor
                    if before.day != day:
                        continue  # a day is sealed once
                    seal = before.seal
                self._sealed[number] = SealRecord(seal, day, stated, seq, sealed_ms)
        except ValueError as error:
            raise _damaged(seq, str(error)) from error


def newest_before(seals: Sequence[SealRecord], day: int, otherwise: int) -> int:
    """The newest sealed day that is not after ``day``; ``otherwise`` where there is none.

    A clock that ran ahead may have sealed days that have not come.
    """
    return max((one.seal.day for one in seals if one.seal.day <= day), default=otherwise)


def _damaged(seq: int, what: str) -> JournalError:
    return JournalError(
        "JOURNAL_DAMAGED",
        f"record {seq} is no seal that can be read: {what}",
        remedy="run `swt3-agent fsck`; restore the state directory from a backup",
    )


def _misled(seq: int) -> JournalError:
    """A seal that is overlooked would be made again: better none is read."""
    return JournalError(
        "CATALOGUE_FAILED",
        f"the catalogue takes record {seq} for an audit, which it is not",
        remedy="stop the agent, delete catalogue.db and start again: it is filled anew",
    )
