"""A log, a place for settlements and a ledger in memory, behind the interfaces of delivery."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from swt3_agent.errors import JournalError
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.relay.delivery.answers import Outcome, Settled
from swt3_agent.relay.delivery.batches import Item
from swt3_agent.relay.delivery.interfaces import Answer, Held
from tests.support.anchors import inference_anchor

PROVENANCE = {"listener": "intake", "tenant": "LOCAL", "applied_level": 3}


class MemoryLog:
    """`RecordSource` over a list."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.unreadable: int | None = None
        self.scanned = 0

    @property
    def size(self) -> int:
        return len(self.records)

    def scan(self, start: int, stop: int | None = None) -> Iterator[Record]:
        for record in self.records[start:stop]:
            if record.seq == self.unreadable:
                raise JournalError("RECORD_CORRUPT", f"record {record.seq}", remedy="")
            self.scanned += 1
            yield record

    def add(self, kind: Kind = Kind.RELAYED, **provenance: object) -> Record:
        """One more record, of the node itself where its kind is not one that is sent."""
        payload = json.dumps(inference_anchor()) if kind in (Kind.MINTED, Kind.RELAYED) else "{}"
        said = json.dumps({**PROVENANCE, **provenance})
        record = Record(self.size, kind, 0, 0, said.encode(), payload.encode())
        self.records.append(record)
        return record


@dataclass
class MemorySink:
    """`SettlementSink` that holds the lane to its order: no hole, nothing settled twice."""

    cursor: int = 0
    answers: dict[int, Answer] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def settle(self, first: int, end: int, answers: Sequence[Answer], held: Sequence[Held]) -> None:
        if self.failures:
            raise self.failures.pop()
        assert first <= self.cursor, "records before it would be forgotten"
        for answer in answers:
            assert first <= answer.seq < end
            known = self.answers.get(answer.seq)
            assert known is None or not known.ok, "settled twice"
            self.answers[answer.seq] = answer
        self.held += held
        self.cursor = max(self.cursor, end)


class ScriptedLedger:
    """`Ledger` that answers as ``respond`` says, and well where that says None."""

    def __init__(self, respond: Callable[[Sequence[Item]], Outcome | None]) -> None:
        self.respond = respond
        self.bodies: list[bytes] = []
        self.taken: list[int] = []

    async def post(self, body: bytes, items: Sequence[Item]) -> Outcome:
        self.bodies.append(body)
        outcome = self.respond(items)
        if outcome is not None:
            return outcome
        self.taken += [item.seq for item in items]
        return Settled(tuple(Answer(item.seq, ok=True) for item in items))
