"""Batches: judged a portion at a time, and remembered once they are stored.

A repeated batch is answered alike and stored once. That, and never content, is how duplicates are
known: distinct inferences may be byte-identical (docs/formats.md, "Intake"). The first answer to a
(client, batch) stands, whatever a repetition carries. Memory is bounded; what falls out of it, or
is from before a restart, is asked of the store.
"""

import json
from collections import OrderedDict
from collections.abc import Sequence

from swt3_agent.errors import FormatError
from swt3_agent.protocol.custody import CustodyEntry, commitment, withheld
from swt3_agent.protocol.payload import Witness
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.answers import Code, Exchange, Rejection, shortened, submitted
from swt3_agent.relay.judgement import Rules, held, judge, judge_quickly
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.origin import Origin, with_original
from swt3_agent.relay.request import SubmitRequest
from swt3_agent.relay.sink import Draft, StoredRecord

_RELAYED = Kind.RELAYED
_JUDGED_ALONE_BYTES = 1024
"""What judging a record alone takes longer, in bytes of those that are judged many at once."""

BatchKey = tuple[str, int]
"""(client, batch)"""


class BatchJudgement:
    """The records of one request, judged a portion at a time so that others have their turn."""

    __slots__ = (
        "_accepted",
        "_next",
        "_origin",
        "_provenance",
        "_quarantined",
        "_rules",
        "request",
        "withheld",
    )

    def __init__(self, request: SubmitRequest, rules: Rules, origin: Origin) -> None:
        self.request = request
        self._rules = rules
        self._origin = origin
        self._next = 0
        self._provenance: dict[tuple[str | None, int], bytes] = {}
        self._accepted: list[Draft] = []
        self._quarantined: list[tuple[Draft, Rejection]] = []
        self.withheld: list[CustodyEntry] = []
        """What clearing removed so far, for custody to keep before the drafts are stored."""

    @property
    def done(self) -> bool:
        """Whether every record has been judged."""
        return self._next == len(self.request.payloads)

    @property
    def accepted(self) -> int:
        """How many records are accepted so far."""
        return len(self._accepted)

    def advance(self, max_bytes: int) -> int:
        """Judge records until ``max_bytes`` of them are; returns how many bytes that were.

        One that has to be judged alone counts for more than it has.
        """
        all_payloads = self.request.payloads
        first = end = self._next
        size = spent = 0
        while size < max_bytes and end < len(all_payloads):
            size += len(all_payloads[end])
            end += 1
        if first == end:
            return 0
        payloads = all_payloads[first:end]
        witnesses: Sequence[Witness | None] = [None] * len(payloads)
        if not self.request.escaped_colons:
            colons = sum(self.request.colons[first:end])
            witnesses = judge_quickly(payloads, colons, self._rules)
        accept = self._accepted.append
        for index, payload, witness in zip(range(first, end), payloads, witnesses, strict=True):
            spent += len(payload)
            self._next = index + 1
            if witness is not None:
                accept((_RELAYED, self._relayed(witness), payload))
                continue
            self._judge(index, payload)
            spent += _JUDGED_ALONE_BYTES
            if spent >= max_bytes:
                break
        return spent

    def drafts(self) -> list[Draft]:
        """What is to be stored, accepted records first so that their numbers are contiguous."""
        return [*self._accepted, *(draft for draft, _ in self._quarantined)]

    def rejections(self) -> list[Rejection]:
        """Everything that was not accepted, in the order of the request."""
        return [rejection for _, rejection in self._quarantined]

    def _relayed(self, witness: Witness) -> bytes:
        key = (witness.agent_id, witness.clearing_level)
        said = self._provenance.get(key)
        if said is None:
            applied = self._rules.applied_level(witness.clearing_level)
            said = self._provenance[key] = self._origin.relayed(self.request, *key, applied)
        return said

    def _judge(self, index: int, payload: bytes) -> None:
        """Accept the record, or keep it with the reason why not."""
        try:
            witness, kept = judge(payload, self._rules)
        except FormatError as error:
            self._quarantine(index, payload, error)
            return
        said = self._relayed(witness)
        if kept is not payload:
            level = self._rules.applied_level(witness.clearing_level)
            said = with_original(said, self._withhold(payload, kept, level))
        self._accepted.append((_RELAYED, said, kept))

    def _quarantine(self, index: int, payload: bytes, error: FormatError) -> None:
        kept, level = held(payload, self._rules)
        rejection = Rejection(index, error.code, shortened(error.message), quarantined=True)
        original = None if kept is payload else self._withhold(payload, kept, level)
        said = self._origin.quarantined(self.request, rejection, original)
        self._quarantined.append(((Kind.QUARANTINE, said, kept), rejection))

    def _withhold(self, payload: bytes, kept: bytes, level: int) -> str:
        """Leave to custody what the log does not keep; the commitment to it."""
        entry = withheld(self._rules.tenant, payload, kept, level)
        self.withheld.append(entry)
        return commitment(entry.secret, payload)


class PendingBatch:
    """A batch on its way into the store, and everyone who waits for its answer."""

    __slots__ = ("key", "waiting")

    def __init__(self, key: BatchKey | None, first: Exchange) -> None:
        self.key = key
        self.waiting = [first]


class BatchMemory:
    """Batches in flight, answers lately given, and how far each client is known to have come."""

    def __init__(self, limits: IntakeLimits) -> None:
        self._limits = limits
        self._pending: dict[BatchKey, PendingBatch] = {}
        self._answers: OrderedDict[BatchKey, bytes] = OrderedDict()
        self._answer_bytes = 0
        self._highest: OrderedDict[str, int] = OrderedDict()

    def pending(self, key: BatchKey) -> PendingBatch | None:
        """The batch if it is in flight."""
        return self._pending.get(key)

    def answer(self, key: BatchKey) -> bytes | None:
        """The answer if it is still remembered."""
        return self._answers.get(key)

    def is_new(self, key: BatchKey) -> bool:
        """Whether the batch is certainly not stored yet; False means that only the store knows."""
        client, batch = key
        highest = self._highest.get(client)
        return highest is not None and batch > highest

    def learn_highest(self, client: str, batch: int | None) -> None:
        """What the store says is the client's highest batch; None for a client without any."""
        known = self._highest.pop(client, -1)
        self._highest[client] = max(known, -1 if batch is None else batch)
        if len(self._highest) > self._limits.max_remembered_clients:
            self._highest.popitem(last=False)

    def start(self, key: BatchKey | None, exchange: Exchange) -> PendingBatch:
        """Remember that the batch is in flight. Without a key it is nobody's to repeat."""
        pending = PendingBatch(key, exchange)
        if key is not None:
            self._pending[key] = pending
        return pending

    def settle(self, pending: PendingBatch, answer: bytes) -> None:
        """The batch is stored, and this is its answer from now on."""
        if pending.key is None:
            return
        self._pending.pop(pending.key, None)
        self.remember(pending.key, answer)
        client, batch = pending.key
        known = self._highest.get(client)
        if known is not None:  # else only the store knows how far the client has come
            self._highest[client] = max(known, batch)
            self._highest.move_to_end(client)

    def forget(self, pending: PendingBatch) -> None:
        """The batch was not stored: a repetition is a new attempt."""
        if pending.key is not None:
            self._pending.pop(pending.key, None)

    def remember(self, key: BatchKey, answer: bytes) -> None:
        """Keep an answer, and let the oldest go where memory is full."""
        self._answer_bytes += len(answer) - len(self._answers.pop(key, b""))
        self._answers[key] = answer
        while (
            len(self._answers) > self._limits.max_remembered_batches
            or self._answer_bytes > self._limits.max_remembered_bytes
        ):
            _, dropped = self._answers.popitem(last=False)
            self._answer_bytes -= len(dropped)


def answer_from_store(records: Sequence[StoredRecord]) -> bytes:
    """The answer that was given when ``records``, all of one batch, were stored."""
    accepted = [record.seq for record in records if record.kind is Kind.RELAYED]
    rejections: list[Rejection] = []
    for record in records:
        said = json.loads(record.provenance)
        if record.kind is Kind.QUARANTINE:
            rejections.append(
                Rejection(said["index"], said["code"], said["error"], quarantined=True)
            )
        for group in said.get("dropped", ()):  # earlier versions kept no trace of those but this
            code = group.get("code", Code.BAD_FIELD.value)
            rejections += (
                Rejection(index, code, group["error"], quarantined=False)
                for index in group["indexes"]
            )
    rejections.sort(key=lambda rejection: rejection.index)
    return submitted(
        len(accepted) + len(rejections), min(accepted, default=None), len(accepted), rejections
    )
