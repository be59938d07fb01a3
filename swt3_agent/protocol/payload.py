"""The witness payload: the object that producers send and ledgers receive (docs/protocol.md 4).

Decoding checks every field and keeps nothing of keys it does not know: bytes received are stored
and sent on as they are, never re-encoded from this. Numbers keep their JSON type, because ``1``
and ``1.0`` may have been hashed as the same text and ``1e21`` as two different ones.
"""

import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Annotated

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.fingerprint import MAX_SAFE_INTEGER, check_procedure
from swt3_agent.protocol.strict_json import MALFORMED

MAX_HASH_CHARS = 64

# That these are lowercase hex is checked apart: a pattern would cost as much as all the decoding.
TwelveHex = Annotated[str, msgspec.Meta(min_length=12, max_length=12)]
HashText = Annotated[str, msgspec.Meta(max_length=MAX_HASH_CHARS)]
ClearingLevel = Annotated[int, msgspec.Meta(ge=0, le=3)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE_INTEGER)]
ChainId = Annotated[str, msgspec.Meta(pattern=r"\ALC-[0-9a-f]{16}\Z")]


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """An upstream anchor that a witness names; a bare fingerprint stands for this as well."""

    fingerprint: str
    relationship: str | None = None
    provenance_token: str | None = None


class Witness(msgspec.Struct, frozen=True):
    """One witness payload. A key that is absent or null reads as None.

    The first eight fields are required and travel at every clearing level. Times are Unix time:
    ``anchor_epoch`` in seconds, ``fingerprint_timestamp_ms`` and ``authorization_expires`` in
    milliseconds. There is no tenant and no verdict: the first comes from where the record arrived,
    the second from whoever judges it.
    """

    procedure_id: str
    factor_a: int | float
    factor_b: int | float
    factor_c: int | float
    clearing_level: ClearingLevel
    anchor_fingerprint: TwelveHex
    anchor_epoch: int
    fingerprint_timestamp_ms: Milliseconds

    ai_model_id: str | None = None
    ai_prompt_hash: HashText | None = None
    ai_response_hash: HashText | None = None
    ai_system_prompt_hash: HashText | None = None
    ai_latency_ms: int | None = None
    ai_input_tokens: int | None = None
    ai_output_tokens: int | None = None
    ai_context: dict[str, object] | str | None = None  # an object; one published text says string

    agent_id: str | None = None
    cycle_id: str | None = None
    payload_signature: str | None = None
    signing_algorithm: str | None = None
    signing_key_id: str | None = None
    signing_key_version: int | None = None
    policy_version_hash: TwelveHex | None = None
    jurisdiction: str | None = None
    legal_basis: str | None = None
    purpose_class: str | None = None
    authorization_id: str | None = None
    authorization_expires: int | None = None
    authorization_scope: str | None = None
    references: list[Reference | str] | None = None
    revocation_target: str | None = None
    revocation_reason: str | int | None = None  # a name; one published text says a code
    lifecycle_chain_id: ChainId | None = None
    lifecycle_parent: str | None = None
    lifecycle_stage: str | None = None
    escalation_chain_id: str | None = None
    witness_source: str | None = None


LOWER_HEX = "0123456789abcdef"
ANY_HEX = LOWER_HEX + "ABCDEF"
HEX_FIELDS = (
    "anchor_fingerprint",
    "policy_version_hash",
    "ai_prompt_hash",
    "ai_response_hash",
    "ai_system_prompt_hash",
)


def decode_witness(raw: bytes) -> Witness:
    """The witness that ``raw`` holds, with every field checked (docs/protocol.md 4).

    Whether the fingerprint belongs to the factors is not decided here, because that takes the
    tenant: see :func:`swt3_agent.protocol.fingerprint.match_fingerprint`. Nor are repeated keys
    and the depth of a context: see :mod:`swt3_agent.protocol.strict_json`.

    Raises FormatError (BAD_FIELD) that names the field.
    """
    try:
        witness = _decode(raw)
        if not raw.isascii():
            raw.decode()  # the decoder skips the values of unknown keys without looking
    except MALFORMED as error:
        raise _undecodable(error) from error
    _check_procedure(witness.procedure_id)
    if witness.anchor_epoch != witness.fingerprint_timestamp_ms // 1000:
        raise _bad_field("anchor_epoch", "is not fingerprint_timestamp_ms in whole seconds")
    if not (
        -_EXACT < witness.factor_a < _EXACT
        and -_EXACT < witness.factor_b < _EXACT
        and -_EXACT < witness.factor_c < _EXACT
    ):
        _check_factor_range(witness)
    if "".join(filter(None, _hex_texts(witness))).strip(LOWER_HEX):
        _check_hex_texts(witness)
    if witness.payload_signature and witness.payload_signature.strip(ANY_HEX):
        raise _bad_field("payload_signature", "is not hex")
    return witness


def encode_payload(payload: Mapping[str, object]) -> bytes:
    """Compact JSON of a payload that this node mints, keys in the order given.

    Raises FormatError (BAD_FIELD) for anything that would not decode as a witness: what is minted
    must pass the checks that relayed records pass.
    """
    try:
        raw = msgspec.json.encode(payload)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _undecodable(error) from error
    decode_witness(raw)
    return raw


_EXACT = 2**53
_LARGEST_DOUBLE = int(sys.float_info.max)
_AT_PATH = re.compile(r"(?P<fault>.*) - at `\$\.(?P<field>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`")

_decode = msgspec.json.Decoder(Witness).decode
_hex_texts = attrgetter(*HEX_FIELDS)
_check_procedure = lru_cache(maxsize=4096)(check_procedure)  # a producer uses a handful of them


def _check_factor_range(witness: Witness) -> None:
    for name in ("factor_a", "factor_b", "factor_c"):
        if abs(getattr(witness, name)) > _LARGEST_DOUBLE:
            raise _bad_field(name, "is beyond the range of a double")


def _check_hex_texts(witness: Witness) -> None:
    for name in HEX_FIELDS:
        if (getattr(witness, name) or "").strip(LOWER_HEX):
            raise _bad_field(name, "is not lowercase hex")


def _undecodable(error: Exception) -> FormatError:
    text = str(error)
    if at_path := _AT_PATH.fullmatch(text):
        return _bad_field(at_path["field"], f"is refused: {at_path['fault']}")
    if missing := _MISSING.fullmatch(text):
        return _bad_field(missing["field"], "is missing")
    return _bad_field("payload", f"is not one JSON object of a witness: {text}")


def _bad_field(field: str, fault: str) -> FormatError:
    return FormatError(
        "BAD_FIELD", f"{field} {fault}", remedy="send the witness as docs/protocol.md 4 says"
    )
