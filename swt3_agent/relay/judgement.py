"""Which records of a batch are kept, and as what: pure rules, no I/O (docs/formats.md, "Intake").

A record is accepted when it is a witness (docs/protocol.md 4), its fingerprint recomputes with the
listener's tenant, and nothing would have to be cleared from it. One that is not a witness, or has
a wrong fingerprint, is quarantined: kept byte for byte, with the reason, never sent on.

A record whose content exceeds its clearing level is dropped with BAD_FIELD and counted. Storing it
would break the level on this node, and only custody may hold what clearing removes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.clearing import KEPT_THROUGH, MAX_LEVEL, clear
from swt3_agent.protocol.fingerprint import match_fingerprint
from swt3_agent.protocol.payload import Witness, decode_witness
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.answers import Code, Rejection, shortened
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.provenance import Origin, with_dropped
from swt3_agent.relay.request import SubmitRequest
from swt3_agent.relay.sink import Draft
from swt3_agent.relay.structure import check_structure

_FIELDS = Witness.__struct_fields__
_REQUIRED = len(_FIELDS) - len(Witness.__struct_defaults__)
_OPTIONAL = slice(_REQUIRED, None)
_MAY_EXCEED = [
    tuple(name for name in _FIELDS if KEPT_THROUGH[name] < level or name == "ai_context")
    for level in range(MAX_LEVEL + 1)
]
"""By level, the fields that clearing might change; it looks at each one by itself."""

_CONTAINERS = frozenset({dict, list})

_values_of = msgspec.structs.astuple
_decode_any = msgspec.json.Decoder(dict[str, object]).decode


@dataclass(frozen=True, slots=True)
class Rules:
    """What a listener holds its records to. ``level`` is the node's clearing level, 0 to 3."""

    tenant: str
    level: int
    limits: IntakeLimits


class BatchJudgement:
    """The records of one request, judged a portion at a time so that others have their turn."""

    __slots__ = ("_accepted", "_dropped", "_next", "_origin", "_quarantined", "_rules", "request")

    def __init__(self, request: SubmitRequest, rules: Rules, origin: Origin) -> None:
        self.request = request
        self._rules = rules
        self._origin = origin
        self._next = 0
        self._accepted: list[Draft] = []
        self._quarantined: list[tuple[bytes, Rejection]] = []
        self._dropped: list[Rejection] = []

    @property
    def done(self) -> bool:
        """Whether every record has been judged."""
        return self._next == len(self.request.payloads)

    @property
    def accepted(self) -> int:
        """How many records are accepted so far."""
        return len(self._accepted)

    @property
    def dropped(self) -> int:
        """How many records will not be kept so far."""
        return len(self._dropped)

    def advance(self, max_bytes: int) -> int:
        """Judge records until ``max_bytes`` of them are; returns how many bytes that were."""
        spent = 0
        payloads, colons = self.request.payloads, self.request.colons
        provenance: dict[tuple[str | None, int], bytes] = {}
        while spent < max_bytes and self._next < len(payloads):
            index = self._next
            payload = payloads[index]
            self._next = index + 1
            spent += len(payload)
            try:
                witness, exceeding = judge(payload, colons[index], self._rules)
            except FormatError as error:
                self._quarantine(index, payload, error)
                continue
            if exceeding:
                self._drop(index, exceeding, max(witness.clearing_level, self._rules.level))
                continue
            key = (witness.agent_id, witness.clearing_level)
            said = provenance.get(key)
            if said is None:
                applied = max(witness.clearing_level, self._rules.level)
                said = self._origin.relayed(self.request, *key, applied)
                provenance[key] = said
            self._accepted.append((Kind.RELAYED, said, payload))
        return spent

    def drafts(self) -> list[Draft]:
        """What is to be stored, accepted records first so that their numbers are contiguous."""
        drafts = list(self._accepted)
        for payload, rejection in self._quarantined:
            said = self._origin.quarantined(self.request, rejection)
            drafts.append((Kind.QUARANTINE, said, payload))
        if drafts and self._dropped and self.request.batch_key is not None:
            kind, said, payload = drafts[0]
            drafts[0] = (kind, with_dropped(said, self._dropped), payload)
        return drafts

    def rejections(self) -> list[Rejection]:
        """Everything that was not accepted, in the order of the request."""
        kept = [rejection for _, rejection in self._quarantined]
        return sorted([*kept, *self._dropped], key=lambda rejection: rejection.index)

    def _quarantine(self, index: int, payload: bytes, error: FormatError) -> None:
        rejection = Rejection(index, error.code, shortened(error.message), quarantined=True)
        self._quarantined.append((payload, rejection))

    def _drop(self, index: int, exceeding: Sequence[str], level: int) -> None:
        text = f"exceeds clearing level {level}: {', '.join(exceeding)}; mint at level {level}"
        rejection = Rejection(index, Code.BAD_FIELD.value, shortened(text), quarantined=False)
        self._dropped.append(rejection)


def judge(payload: bytes, colons: int, rules: Rules) -> tuple[Witness, tuple[str, ...]]:
    """The witness that ``payload`` is, and the names of what exceeds its clearing level.

    ``colons`` is how many ``:`` bytes ``payload`` has. The fingerprint of a record that exceeds
    its level is not looked at.

    Raises FormatError: BAD_FIELD where it is no witness, repeats a key or is nested too deep;
    BAD_FINGERPRINT where the fingerprint is another's.
    """
    limits = rules.limits
    if len(payload) > limits.large_record_bytes and payload.count(b",") > limits.max_values:
        raise _bad_field(f"the record holds more than {limits.max_values} values")
    witness = decode_witness(payload)
    # A key owns one colon: with just the required ones there is nothing else in the record.
    if colons != _REQUIRED:
        exceeding = _judge_optional_fields(payload, colons, witness, rules)
        if exceeding:
            return witness, exceeding
    rendering = match_fingerprint(
        rules.tenant,
        witness.procedure_id,
        witness.factor_a,
        witness.factor_b,
        witness.factor_c,
        witness.fingerprint_timestamp_ms,
        witness.anchor_fingerprint,
    )
    if rendering is None:
        raise FormatError(
            Code.BAD_FINGERPRINT.value,
            f"anchor_fingerprint {witness.anchor_fingerprint} does not recompute under tenant "
            f"{rules.tenant}",
            remedy="mint with this listener's tenant and exactly the factors and time sent",
        )
    return witness, ()


def _judge_optional_fields(
    payload: bytes, colons: int, witness: Witness, rules: Rules
) -> tuple[str, ...]:
    """Names of what exceeds the record's clearing level, which is never below the node's."""
    level = max(witness.clearing_level, rules.level)
    context = witness.ai_context
    flat = (
        _CONTAINERS.isdisjoint(map(type, context.values())) if isinstance(context, dict) else None
    )
    if not _has_just_known_keys(witness, colons, flat):
        try:
            check_structure(payload, rules.limits.max_depth)
        except FormatError as error:
            raise _bad_field(error.message) from error
        return clear(_decode_any(payload), level)[1]
    if level <= 1 and (context is None or (flat and _is_clean_context(tuple(context), level))):
        return ()
    suspects: dict[str, object] = {
        name: value for name in _MAY_EXCEED[level] if (value := getattr(witness, name)) is not None
    }
    if not suspects:
        return ()
    suspects["procedure_id"] = witness.procedure_id
    return clear(suspects, level)[1]


def _has_just_known_keys(witness: Witness, colons: int, flat: bool | None) -> bool:
    """Whether so many colons prove that no key is repeated, unknown, or nested below the context.

    An array could be nested without a key, so where there is one the full check decides. Empty
    values are not counted, which leaves those to the full check as well.
    """
    keys = _REQUIRED + len(tuple(filter(None, _values_of(witness)[_OPTIONAL])))
    if flat:
        keys += len(cast("dict[str, object]", witness.ai_context))
    return colons == keys and flat is not False and witness.references is None


@lru_cache(maxsize=1024)
def _is_clean_context(names: tuple[str, ...], level: int) -> bool:
    """Whether a context without nesting keeps all these names: their values make no difference."""
    return not clear({"ai_context": dict.fromkeys(names, 0)}, level)[1]


def _bad_field(fault: str) -> FormatError:
    return FormatError(
        Code.BAD_FIELD.value, fault, remedy="send the witness as docs/protocol.md 4 says"
    )
