"""How settlements lie in the journal: the payload of RECEIPT records (docs/formats.md, "Payloads
by kind").

Each carries what was answered to the records of a range, and the sums over all up to its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from swt3_agent.errors import JournalError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.journal import Draft, Journal

RECORDS_AT_ONCE = 1000
"""Records that one RECEIPT record settles at most: with the longest texts, of characters that JSON
escapes, it has some 4 MiB, half of what a record may have."""

MAX_ERROR_CHARS = 200
MAX_TOKEN_CHARS = 256
_MAX_NAME_CHARS = 256

_PROVENANCE = canonical_json({"listener": "agent"})


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was answered to record ``seq``.

    ``token`` is the anchor token that it was given, ``error`` why it was refused,
    ``signature_verified`` what was said of its signature. ``differs`` is the agent's own verdict
    where the answer's is another.
    """

    seq: int
    ok: bool = True
    error: str | None = None
    token: str | None = None
    verdict: str | None = None
    signature_verified: bool | None = None
    differs: str | None = None

    def shortened(self) -> "Receipt":
        """With texts of the length that a record has room for."""
        return msgspec.structs.replace(
            self,
            error=self.error and self.error[:MAX_ERROR_CHARS],
            token=self.token and self.token[:MAX_TOKEN_CHARS],
            verdict=self.verdict and self.verdict[:MAX_TOKEN_CHARS],
        )


class Withheld(msgspec.Struct, frozen=True):
    """Records of ``[first, end)`` without a receipt are not sent on, for ``reason`` (a code)."""

    first: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of the forwardable records of ``[first, end)``: ``total`` of them (None: whoever
    settles has not counted).

    ``by`` is ``ledger`` or ``bundle``; ``source`` names the ledger's host or the bundle's manifest
    digest, ``signer`` whose word it is. ``receipts`` and ``withheld`` are in order of sequence.
    """

    by: str
    first: int
    end: int
    total: int | None
    receipts: tuple[Receipt, ...]
    withheld: tuple[Withheld, ...] = ()
    source: str = ""
    signer: str | None = None


class Counts(msgspec.Struct, frozen=True):
    """Sums: records settled in any way; of them refused (and not accepted since) and withheld; and
    receipts whose verdict is not ours."""

    settled: int = 0
    refused: int = 0
    withheld: int = 0
    differing: int = 0


class ReceiptRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The payload of a RECEIPT record.

    ``cursor``: every forwardable record before it is settled. ``again``: its receipts are for
    records before that, which had been refused. ``refusals`` is the newest earlier RECEIPT record
    that refuses a record or is such an answer.
    """

    by: str
    source: str
    signer: str | None = None
    first: int
    end: int
    cursor: int
    counts: Counts
    again: bool = False
    refusals: int | None = None
    receipts: tuple[Receipt, ...] = ()
    withheld: tuple[Withheld, ...] = ()

    @property
    def tells_of_refused(self) -> bool:
        """Whether it refuses a record, or answers to one that had been refused."""
        return self.again or any(not receipt.ok for receipt in self.receipts)


def receipt_draft(content: ReceiptRecord) -> Draft:
    """The record of ``content``."""
    return Draft(Kind.RECEIPT, _PROVENANCE, canonical_json(msgspec.to_builtins(content)))


def read_receipts(journal: Journal, seq: int) -> ReceiptRecord:
    """The RECEIPT record ``seq``. Raises JournalError ``RECEIPT_UNREADABLE``."""
    try:
        return msgspec.json.decode(journal.read(seq).payload, type=ReceiptRecord)
    except MALFORMED as error:
        raise JournalError(
            "RECEIPT_UNREADABLE",
            f"the receipts in record {seq} cannot be read: {error}",
            remedy="run `swt3-agent fsck`",
        ) from error


def pieces_again(settlement: Settlement, earlier: Sequence[Receipt]) -> Iterator[Settlement]:
    """The part of ``settlement`` that answers anew to records settled before, in pieces."""
    for start in range(0, len(earlier), RECORDS_AT_ONCE):
        receipts = tuple(earlier[start : start + RECORDS_AT_ONCE])
        end = receipts[-1].seq + 1
        yield replace(
            settlement, first=receipts[0].seq, end=end, total=0, receipts=receipts, withheld=()
        )


def pieces_onward(settlement: Settlement, cursor: int, seqs: Sequence[int]) -> Iterator[Settlement]:
    """The part of ``settlement`` from ``cursor`` on, in pieces; ``seqs`` are the records in it that
    it settles."""
    receipts = iter([receipt for receipt in settlement.receipts if receipt.seq >= cursor])
    receipt = next(receipts, None)
    first = cursor
    for start in range(0, len(seqs), RECORDS_AT_ONCE):
        piece = seqs[start : start + RECORDS_AT_ONCE]
        is_last = start + RECORDS_AT_ONCE >= len(seqs)
        end = settlement.end if is_last else piece[-1] + 1
        answered: list[Receipt] = []
        while receipt is not None and receipt.seq < end:
            answered.append(receipt)
            receipt = next(receipts, None)
        yield replace(
            settlement,
            first=first,
            end=end,
            total=len(piece),
            receipts=tuple(answered),
            withheld=tuple(_clipped(settlement.withheld, first, end)),
        )
        first = end
    if not seqs:
        end = max(cursor, settlement.end)
        yield replace(settlement, first=cursor, end=end, total=0, receipts=(), withheld=())


def _clipped(ranges: Sequence[Withheld], first: int, end: int) -> Iterator[Withheld]:
    for held in ranges:
        if held.first < end and first < held.end:
            yield Withheld(max(held.first, first), min(held.end, end), held.reason)


def name(text: str) -> str:
    """``text`` of the length that a record has room for."""
    return text[:_MAX_NAME_CHARS]
