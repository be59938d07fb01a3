"""What became of the records that are to be sent on: receipts, kept as records themselves.

A RECEIPT record says of a range of the journal what a ledger, or the importer of a bundle,
answered to each record in it, and carries the sums over all before it (docs/formats.md, "Payloads
by kind"). So the newest one says how far delivery has come: nothing else is stored, and nothing
has to be counted again at a start.
"""

import threading
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from swt3_agent.errors import JournalError
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Journal
from swt3_agent.store.receipt_records import (
    Counts,
    Receipt,
    ReceiptRecord,
    Settlement,
    Withheld,
    name,
    pieces_again,
    pieces_onward,
    read_receipts,
    receipt_draft,
)

__all__ = [
    "FORWARDABLE",
    "Backlog",
    "Counts",
    "Receipt",
    "Refusal",
    "Settlement",
    "Settlements",
    "Withheld",
    "forwardable_in",
]

FORWARDABLE = frozenset({int(Kind.MINTED), int(Kind.RELAYED)})
"""The kinds of record that a ledger is to have."""

_NONE_YET = ReceiptRecord(by="", source="", first=0, end=0, cursor=0, counts=Counts())


@dataclass(frozen=True, slots=True)
class Backlog:
    """Records that wait to be settled, and when the oldest of them was received (UTC ms)."""

    records: int
    oldest_ms: int | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that was refused and not accepted since: by whom, and in which RECEIPT record."""

    receipt: Receipt
    by: str
    source: str
    record: int


class Settlements:
    """The state of delivery, read from the RECEIPT records of a journal; any thread may ask."""

    def __init__(self, journal: Journal, catalogue: Catalogue) -> None:
        """Raises JournalError ``RECEIPT_UNREADABLE`` and whatever reading the journal raises."""
        self._journal = journal
        self._catalogue = catalogue
        self._lock = threading.Lock()  # over appending
        seq = catalogue.last_of_kind(Kind.RECEIPT)
        self._last = (seq, _NONE_YET if seq is None else read_receipts(journal, seq))
        self._oldest: tuple[int, int] | None = None  # for which cursor; received, UTC ms

    @property
    def cursor(self) -> int:
        """Every forwardable record before this sequence number is settled or withheld."""
        return self._last[1].cursor

    @property
    def counts(self) -> Counts:
        """Sums over everything that was settled."""
        return self._last[1].counts

    def append(self, settlement: Settlement) -> int:
        """Record ``settlement`` durably; returns the sequence number of its last RECEIPT record.

        What is settled stays settled: of receipts for records before the cursor only those count
        that speak of a refused one. A settlement that is too large for a record becomes several,
        each of its own part of the range; after a failure the rest can be appended again.

        Raises JournalError: ``SETTLEMENT_GAP`` (it begins beyond the cursor, so that records before
        it would be forgotten), ``SETTLEMENT_UNFIT`` (its receipts are not of records to be sent on,
        or out of order, or ``total`` is not what the journal has), ``SETTLEMENT_INCOMPLETE`` (a
        record of the range has no receipt and is not withheld); and what appending raises.
        """
        with self._lock:
            cursor = self.cursor
            _check_range(settlement, cursor, self._journal.size)
            earlier = self._about_refused(settlement, cursor)
            unsettled = self._unsettled(settlement, cursor)
            for piece in pieces_again(settlement, earlier):
                accepted = sum(receipt.ok for receipt in piece.receipts)
                self._write(piece, refused=-accepted, again=True)
            if settlement.end > cursor or not earlier:
                for piece in pieces_onward(settlement, cursor, unsettled):
                    self._write(piece, refused=sum(not receipt.ok for receipt in piece.receipts))
            last_seq, _ = self._last
            assert last_seq is not None  # noqa: S101  one record is written in any case
            return last_seq

    def refused(self, limit: int) -> list[Refusal]:
        """Records that were refused and not accepted since, newest answer first, at most ``limit``.

        Raises JournalError.
        """
        limit = min(limit, self.counts.refused)
        found: list[Refusal] = []
        answered: set[int] = set()  # by a newer record
        for seq, content in self._exceptions():
            if len(found) >= limit:
                break
            for receipt in reversed(content.receipts):
                if receipt.seq not in answered:
                    if not receipt.ok:
                        found.append(Refusal(receipt, content.by, content.source, seq))
                    if content.again:
                        answered.add(receipt.seq)
        return found[:limit]

    def still_refused(self, seqs: Iterable[int]) -> set[int]:
        """Those of the records ``seqs`` that were refused and not accepted since.

        Raises JournalError.
        """
        unknown = set(seqs)
        refused: set[int] = set()
        for _, content in self._exceptions() if self.counts.refused else ():
            if not unknown:
                break
            for receipt in content.receipts:
                if receipt.seq in unknown:
                    unknown.remove(receipt.seq)
                    if not receipt.ok:
                        refused.add(receipt.seq)
        return refused

    def _exceptions(self) -> Iterator[tuple[int, ReceiptRecord]]:
        """The RECEIPT records that refuse a record or answer anew to one, newest first."""
        seq, content = self._last
        if seq is not None and not content.tells_of_refused:
            seq = content.refusals
        while seq is not None:
            content = read_receipts(self._journal, seq)
            yield seq, content
            seq = content.refusals

    def backlog(self) -> Backlog:
        """What waits. Raises JournalError."""
        kinds = self._catalogue.kinds()
        forwardable = sum(kinds[Kind(kind)].count for kind in FORWARDABLE if kind in kinds)
        waiting = max(0, forwardable - self.counts.settled)
        return Backlog(waiting, self._oldest_ms() if waiting else None)

    def _oldest_ms(self) -> int | None:
        """When the first record that waits was received; looked for once as long as it waits."""
        cursor, known = self.cursor, self._oldest
        if known is not None and known[0] == cursor:
            return known[1]
        seq = next(forwardable_in(self._journal, cursor, self._journal.size), None)
        if seq is None:
            return None
        received_ms = self._journal.read(seq).received_ns // 1_000_000
        self._oldest = (cursor, received_ms)
        return received_ms

    def _about_refused(self, settlement: Settlement, cursor: int) -> list[Receipt]:
        """The receipts for records before the cursor that were refused."""
        earlier = [receipt for receipt in settlement.receipts if receipt.seq < cursor]
        refused = self.still_refused(receipt.seq for receipt in earlier)
        return [receipt for receipt in earlier if receipt.seq in refused]

    def _unsettled(self, settlement: Settlement, cursor: int) -> Sequence[int]:
        """The records from ``cursor`` on that ``settlement`` settles: all that the range has."""
        if settlement.end <= cursor:
            return ()
        answered = {receipt.seq for receipt in settlement.receipts}
        withheld = _Ranges(settlement.withheld)
        seqs = array("Q")
        total = 0
        for seq in forwardable_in(self._journal, settlement.first, settlement.end):
            total += 1
            if seq >= cursor:
                seqs.append(seq)
                if seq not in answered and not withheld.has(seq):
                    raise _refuse("SETTLEMENT_INCOMPLETE", f"record {seq} has no receipt")
            answered.discard(seq)
        if answered:
            raise _refuse("SETTLEMENT_UNFIT", f"record {min(answered)} is not one that is sent on")
        if settlement.total not in (None, total):
            where = f"records {settlement.first} to {settlement.end}"
            raise _refuse(
                "SETTLEMENT_UNFIT", f"{where} hold {total} to settle, not {settlement.total}"
            )
        return seqs

    def _write(self, piece: Settlement, *, refused: int, again: bool = False) -> None:
        """Append ``piece`` with the sums up to it, and go on from there."""
        last_seq, last = self._last
        sums = last.counts
        total = piece.total or 0
        content = ReceiptRecord(
            by=piece.by,
            source=name(piece.source),
            signer=None if piece.signer is None else name(piece.signer),
            first=piece.first,
            end=piece.end,
            cursor=max(last.cursor, piece.end),
            counts=Counts(
                settled=sums.settled + total,
                refused=sums.refused + refused,
                withheld=sums.withheld + max(0, total - len(piece.receipts)),
                differing=sums.differing
                + sum(receipt.differs is not None for receipt in piece.receipts),
            ),
            again=again,
            refusals=last_seq if last.tells_of_refused else last.refusals,
            receipts=tuple(receipt.shortened() for receipt in piece.receipts),
            withheld=piece.withheld,
        )
        seq = self._journal.append([receipt_draft(content)]).result().first_seq
        self._last = (seq, content)


class _Ranges:
    """Withheld ranges, in order, to be asked about sequence numbers."""

    def __init__(self, ranges: Sequence[Withheld]) -> None:
        self._ranges = ranges
        self._firsts = [held.first for held in ranges]

    def has(self, seq: int) -> bool:
        place = bisect_right(self._firsts, seq) - 1
        return place >= 0 and seq < self._ranges[place].end


def forwardable_in(journal: Journal, first: int, end: int) -> Iterator[int]:
    """Sequence numbers of the records of ``[first, end)`` that a ledger is to have, in order."""
    for records in journal.slices(first, end):
        for offset, kind in enumerate(records.kinds):
            if kind in FORWARDABLE:
                yield records.first_seq + offset


def _check_range(settlement: Settlement, cursor: int, size: int) -> None:
    first, end = settlement.first, settlement.end
    if first > cursor:
        raise JournalError(
            "SETTLEMENT_GAP",
            f"the range begins at record {first}, but those from {cursor} on are not settled yet",
            remedy="settle them first: import the receipts of the earlier bundle",
        )
    if not 0 <= first <= end <= size:
        raise _refuse("SETTLEMENT_UNFIT", f"a log of {size} has no records {first} to {end}")
    bounds = [first - 1, *(receipt.seq for receipt in settlement.receipts), end]
    if any(earlier >= later for earlier, later in pairwise(bounds)):
        what = f"the receipts of records {first} to {end} are not in order"
        raise _refuse("SETTLEMENT_UNFIT", what)
    edges = [edge for held in settlement.withheld for edge in (held.first, held.end)]
    if edges != sorted(edges):
        raise _refuse("SETTLEMENT_UNFIT", "the withheld ranges are not in order")


def _refuse(code: str, message: str) -> JournalError:
    return JournalError(
        code, message, remedy="settle every record of a range of this log, in order"
    )
