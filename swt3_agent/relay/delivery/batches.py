"""Records of the journal as the body of one POST: their bytes spliced, never encoded again.

A record that is sent a second time is the same bytes (docs/protocol.md 5.2).
"""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from swt3_agent.protocol.procedures import judge
from swt3_agent.protocol.record import Record
from swt3_agent.relay.delivery.gate import FORWARDABLE, UNREADABLE, Gate
from swt3_agent.relay.delivery.interfaces import Held, RecordSource

MAX_SCANNED = 16 * 1024
"""Records that one batch looks at: a longer stretch of others is settled by itself."""

_BEFORE, _BETWEEN, _AFTER = b'{"witnesses":[', b",", b"]}"
_FRAME = len(_BEFORE + _AFTER)


class _Witness(msgspec.Struct, gc=False):
    procedure_id: str
    factor_a: int | float
    factor_b: int | float
    factor_c: int | float
    clearing_level: int
    anchor_fingerprint: str


_decode = msgspec.json.Decoder(_Witness).decode


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Most records, and most bytes of a body; a single record is sent whatever its size."""

    records: int
    size: int


@dataclass(frozen=True, slots=True)
class Item:
    """One record to be sent. ``verdict`` is ours on its factors; None where no rule has one."""

    seq: int
    payload: bytes
    fingerprint: str
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """What there is to send of the records ``[first, end)``, and what of them is held back."""

    first: int
    end: int
    items: tuple[Item, ...]
    held: tuple[Held, ...] = ()

    def body(self) -> bytes:
        """What is POSTed."""
        return _BEFORE + _BETWEEN.join([item.payload for item in self.items]) + _AFTER

    def halves(self) -> "tuple[Batch, Batch]":
        """The same in two batches; it has two items at least."""
        middle = len(self.items) // 2
        cut = self.items[middle].seq  # no held range reaches over an item
        return (
            Batch(self.first, cut, self.items[:middle], _before(self.held, cut)),
            Batch(cut, self.end, self.items[middle:], self.held[len(_before(self.held, cut)) :]),
        )


def read_batch(source: RecordSource, start: int, gate: Gate, limits: BatchLimits) -> Batch:
    """The next records from ``start`` on, as many as fit. Raises JournalError."""
    items: list[Item] = []
    held: list[Held] = []
    size = _FRAME
    end = start
    for record in source.scan(start, min(source.size, start + MAX_SCANNED)):
        if record.kind in FORWARDABLE:
            item = _item(record, gate)
            if isinstance(item, Item):
                size += len(item.payload) + len(_BETWEEN)
                if items and (size > limits.size or len(items) == limits.records):
                    break
                items.append(item)
            else:
                _hold(held, item, after=items[-1].seq if items else -1)
        end = record.seq + 1
    return Batch(start, end, tuple(items), tuple(held))


def read_again(
    source: RecordSource, seqs: deque[int], gate: Gate, limits: BatchLimits
) -> Batch | None:
    """The next of the records ``seqs`` that may be sent, as many as fit; None where there are none.

    What is dealt with is taken from ``seqs``. Raises JournalError.
    """
    items: list[Item] = []
    size = _FRAME
    while seqs:
        for record in source.scan(seqs[0], seqs[0] + 1):
            item = _item(record, gate) if record.kind in FORWARDABLE else None
            if isinstance(item, Item):
                size += len(item.payload) + len(_BETWEEN)
                if items and (size > limits.size or len(items) == limits.records):
                    return _batch_of(items)
                items.append(item)
        seqs.popleft()
    return _batch_of(items) if items else None


def _batch_of(items: Sequence[Item]) -> Batch:
    return Batch(items[0].seq, items[-1].seq + 1, tuple(items))


def _item(record: Record, gate: Gate) -> Item | Held:
    """What is sent of ``record``, or that it is held back."""
    reason: str | None = None
    with suppress(ValueError, RecursionError):  # no JSON, no UTF-8, or not a witness
        witness = _decode(record.payload)
        reason = gate.withheld(record.kind, record.provenance, witness.clearing_level)
        if reason is None:
            factors = witness.factor_a, witness.factor_b, witness.factor_c
            verdict = judge(witness.procedure_id, *factors)
            return Item(
                record.seq,
                record.payload,
                witness.anchor_fingerprint,
                None if verdict is None else verdict.value,
            )
    return Held(record.seq, record.seq + 1, reason or UNREADABLE)


def _hold(held: list[Held], one: Held, after: int) -> None:
    """Add ``one`` to ``held``, as part of the last range where no item stands between them."""
    if held and held[-1].reason == one.reason and held[-1].first > after:
        one = Held(held.pop().first, one.end, one.reason)
    held.append(one)


def _before(held: tuple[Held, ...], cut: int) -> tuple[Held, ...]:
    return tuple(part for part in held if part.first < cut)
