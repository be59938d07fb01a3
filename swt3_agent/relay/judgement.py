"""Which records of a batch are kept, and as what: pure rules, no I/O (docs/formats.md, "Intake").

A record is accepted when it is a witness (docs/protocol.md 4) and its fingerprint recomputes with
the listener's tenant. What exceeds its clearing level is cleared from it first. Any other record is
quarantined: kept with the reason, and never sent on.

A raw prompt in the wrong place must not enter the log. So of a refused record the log keeps what
hides no content, cleared in the same way, or nothing, and custody keeps the record as it came.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.bulk import prove_sound
from swt3_agent.protocol.clearing import MAX_LEVEL, clear
from swt3_agent.protocol.fingerprint import check_procedure, match_fingerprint
from swt3_agent.protocol.operational import refuse_free_text, without_free_text
from swt3_agent.protocol.payload import ANY_HEX, HEX_FIELDS, Witness, decode_witness
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.relay.answers import Code
from swt3_agent.relay.cleared_bytes import without
from swt3_agent.relay.limits import IntakeLimits

_FIELD_TYPES = {field.encode_name: field.type for field in msgspec.structs.fields(Witness)}
_HEX = {*HEX_FIELDS, "payload_signature"}
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Rules:
    """What a listener holds its records to. ``level`` is the node's clearing level, 0 to 3."""

    tenant: str
    level: int
    limits: IntakeLimits
    drop_guardrail_names: bool = False

    def applied_level(self, declared: int) -> int:
        """The clearing level that holds for a record: never below the node's."""
        return max(declared, self.level)

    def cleared(
        self, fields: Mapping[str, object], level: int
    ) -> tuple[dict[str, object], tuple[str, ...]]:
        """``fields`` cleared to ``level``, and the names of what was removed or hashed."""
        return clear(fields, level, drop_guardrail_names=self.drop_guardrail_names)


def judge_quickly(payloads: Sequence[bytes], colons: int, rules: Rules) -> Sequence[Witness | None]:
    """Of each payload its witness where it is certainly acceptable; None leaves it to ``judge``.

    ``colons`` is how many ``:`` bytes they have together; none is written as an escape.
    """
    if max(map(len, payloads)) > rules.limits.large_record_bytes:
        return [None] * len(payloads)
    if rules.drop_guardrail_names and any(b"guardrails" in p or b"\\u" in p for p in payloads):
        return [None] * len(payloads)
    return prove_sound(payloads, colons, tenant=rules.tenant, level=rules.level)


def judge(payload: bytes, rules: Rules) -> tuple[Witness, bytes]:
    """The witness that ``payload`` is, and what of it may be kept: ``payload`` itself where nothing
    has to be cleared.

    Raises FormatError: BAD_FIELD where it is no witness, repeats a key, is nested too deep or has
    free text where level 3 allows none; BAD_FINGERPRINT where the fingerprint is another's.
    """
    if has_too_many_values(payload, rules.limits):
        raise _bad_field(f"the record holds more than {rules.limits.max_values} values")
    witness = decode_witness(payload)
    try:
        fields = read_strictly(payload)
    except FormatError as error:
        raise _bad_field(error.message) from error
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
    level = rules.applied_level(witness.clearing_level)
    if level == MAX_LEVEL:
        refuse_free_text(fields)
    cleared, exceeding = rules.cleared(fields, level)
    return witness, without(payload, fields, cleared) if exceeding else payload


def has_too_many_values(payload: bytes, limits: IntakeLimits) -> bool:
    """Whether to decode ``payload`` would keep the rest of the loop waiting."""
    return len(payload) > limits.large_record_bytes and payload.count(b",") > limits.max_values


def held(payload: bytes, rules: Rules) -> tuple[bytes, int]:
    """What the log may keep of a record that was refused, and the clearing level that held.

    An object of known fields in which every value but bare numbers is valid for its field, so that
    what is wrong is a number, a missing field or the fingerprint, is cleared like any other; at
    level 3, which holds too where no level is named that there is, less the fields with free text.
    Of anything else the log keeps nothing, since something in it could be content in hiding. A
    large record is not worth the time that it takes to tell.
    """
    nothing = b"", rules.level
    if len(payload) > rules.limits.large_record_bytes:
        return nothing
    try:
        fields = read_strictly(payload)
        if not fields.keys() <= _FIELD_TYPES.keys():
            return nothing
        check_procedure(str(fields.get("procedure_id", "AI-INF.1")))
        for name, value in fields.items():
            if isinstance(value, str) and name in _HEX and value.strip(ANY_HEX):
                return nothing
            if value is not None and not isinstance(value, int | float):
                msgspec.convert(value, _FIELD_TYPES[name])
        declared = fields.get("clearing_level")
        if type(declared) is not int or not 0 <= declared <= MAX_LEVEL:
            declared = MAX_LEVEL
        level = rules.applied_level(declared)
        allowed = without_free_text(fields) if level == MAX_LEVEL else fields
        cleared, exceeding = rules.cleared(allowed, level)
        if not exceeding and len(allowed) == len(fields):
            return payload, level
        return without(payload, fields, cleared), level
    except (FormatError, *MALFORMED):
        return nothing


def read_strictly(payload: bytes) -> dict[str, object]:
    """The object in ``payload``, if every reader reads it alike.

    JSON decoders keep the last of two equal keys and say nothing. Two readers of one record could
    then disagree on what it says, so such a record is refused. ``protocol.bulk`` has the reason
    why counting colons shows that there is none; where the count cannot, the strict reader judges.

    Raises FormatError as :func:`swt3_agent.protocol.strict_json.loads` does.
    """
    if b"\\u003" not in payload:  # else perhaps a colon in a text, which none would escape again
        with suppress(*MALFORMED):
            value = _decode(payload)
            if isinstance(value, dict) and _encode(value).count(b":") == payload.count(b":"):
                strict_json.check_depth(payload)
                return value
    fields = strict_json.loads(payload, max_bytes=len(payload))
    if not isinstance(fields, dict):
        raise _bad_field("the record is not an object")
    return fields


def _bad_field(fault: str) -> FormatError:
    return FormatError(
        Code.BAD_FIELD.value, fault, remedy="send the witness as docs/protocol.md 4 says"
    )
