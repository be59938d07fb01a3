"""The witness payload: docs/protocol.md 4."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.payload import Reference, Witness, decode_witness, encode_payload

MINIMAL: dict[str, Any] = {
    "procedure_id": "AI-INF.1",
    "factor_a": 1,
    "factor_b": 1,
    "factor_c": 0,
    "clearing_level": 1,
    "anchor_fingerprint": "c059eb5938c0",
    "anchor_epoch": 1774800000,
    "fingerprint_timestamp_ms": 1774800000123,
}
FULL: dict[str, Any] = MINIMAL | {
    "ai_model_id": "llama",
    "ai_prompt_hash": "315f5bdb76d078c4",
    "ai_response_hash": "315f5bdb76d0",
    "ai_system_prompt_hash": "",
    "ai_latency_ms": 12,
    "ai_input_tokens": 3,
    "ai_output_tokens": 4,
    "ai_context": {"provider": "triton", "nested": [{"a": 1.5}]},
    "agent_id": "agent-007",
    "cycle_id": "c",
    "payload_signature": "ab" * 32,
    "signing_algorithm": "hmac-sha256",
    "signing_key_id": "k1",
    "signing_key_version": 1,
    "policy_version_hash": "0123456789ab",
    "jurisdiction": "DE",
    "legal_basis": "contract",
    "purpose_class": "support",
    "authorization_id": "a",
    "authorization_expires": 1774800000123,
    "authorization_scope": "s",
    "references": [{"fingerprint": "c059eb5938c0", "relationship": "derived"}, "2e16e2fe92dd"],
    "revocation_target": "2e16e2fe92dd",
    "revocation_reason": "model_recall",
    "lifecycle_chain_id": "LC-7a38936db8ecec94",
    "lifecycle_parent": "2e16e2fe92dd",
    "lifecycle_stage": "initiated",
    "escalation_chain_id": "LC-7a38936db8ecec94",
    "witness_source": "mcp",
}


def raw(payload: Any) -> bytes:
    return json.dumps(payload).encode()


def refusal(data: bytes) -> FormatError:
    with pytest.raises(FormatError) as error:
        decode_witness(data)
    assert error.value.code == "BAD_FIELD"
    assert error.value.remedy
    return error.value


def test_required_fields_are_enough() -> None:
    witness = decode_witness(raw(MINIMAL))
    assert {name: getattr(witness, name) for name in MINIMAL} == MINIMAL
    assert witness.agent_id is None


def test_every_documented_field_is_read() -> None:
    witness = decode_witness(raw(FULL))
    assert set(Witness.__struct_fields__) == set(FULL)
    for name, value in FULL.items():
        if name != "references":
            assert getattr(witness, name) == value
    assert witness.references == [Reference("c059eb5938c0", "derived"), "2e16e2fe92dd"]


def test_unknown_keys_and_nulls_are_no_fault() -> None:
    witness = decode_witness(raw(MINIMAL | {"x_future": {"a": [1]}, "agent_id": None}))
    assert witness == decode_witness(raw(MINIMAL))


@pytest.mark.parametrize("text", ["1", "1.0", "-0.0", "0.0042", "1e21", "9007199254740993"])
def test_factors_keep_their_json_type_and_all_digits(text: str) -> None:
    data = raw(MINIMAL).replace(b'"factor_c": 0', b'"factor_c": ' + text.encode())
    factor = decode_witness(data).factor_c
    expected = json.loads(text)
    assert type(factor) is type(expected)
    assert factor == expected


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**1023), 2**1023))
def test_factors_are_read_as_the_standard_parser_reads_them(factor: float) -> None:
    read = decode_witness(raw(MINIMAL | {"factor_b": factor})).factor_b
    assert type(read) is type(factor)
    assert repr(read) == repr(factor)


NUMBERS_REFUSED = {
    "beyond a double": "1e999",
    "an integer beyond a double": "1" + "0" * 400,
    "an endless integer": "1" * 5000,
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "bool": "true",
    "text": '"1"',
    "null": "null",
    "array": "[1]",
}


@pytest.mark.parametrize("what", NUMBERS_REFUSED)
@pytest.mark.parametrize("name", ["factor_a", "factor_b", "factor_c"])
def test_factors_that_are_no_finite_numbers_are_refused(name: str, what: str) -> None:
    text = NUMBERS_REFUSED[what]
    data = raw(MINIMAL | {name: "HERE"}).replace(b'"HERE"', text.encode())
    error = refusal(data)
    assert name in error.message or what in ("NaN", "Infinity")  # not even JSON


@pytest.mark.parametrize("name", list(MINIMAL))
def test_a_missing_required_field_is_named(name: str) -> None:
    payload = {key: value for key, value in MINIMAL.items() if key != name}
    assert refusal(raw(payload)).message == f"{name} is missing"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("procedure_id", "AI INF 1"),
        ("procedure_id", "AI-INF.1:1"),
        ("clearing_level", -1),
        ("clearing_level", 4),
        ("clearing_level", 1.0),
        ("clearing_level", True),
        ("anchor_fingerprint", "C059EB5938C0"),
        ("anchor_fingerprint", "c059eb5938c"),
        ("anchor_fingerprint", "c059eb5938c0\n"),
        ("anchor_epoch", 1774800001),
        ("anchor_epoch", 1774800000.0),
        ("fingerprint_timestamp_ms", 1774800000123.0),
        ("fingerprint_timestamp_ms", -1),
        ("fingerprint_timestamp_ms", 2**53),
        ("fingerprint_timestamp_ms", "1774800000123"),
        ("ai_model_id", 1),
        ("ai_prompt_hash", "what was asked"),
        ("ai_response_hash", "a" * 65),
        ("ai_system_prompt_hash", "ABCDEF"),
        ("ai_latency_ms", 1.5),
        ("ai_input_tokens", "3"),
        ("ai_context", [1]),
        ("ai_context", 1),
        ("payload_signature", "not hex"),
        ("signing_key_version", "1"),
        ("policy_version_hash", "abc"),
        ("authorization_expires", 1.5),
        ("references", "c059eb5938c0"),
        ("references", [{"relationship": "derived"}]),
        ("references", [1]),
        ("revocation_reason", 1.5),
        ("lifecycle_chain_id", "LC-7A38936DB8ECEC94"),
        ("lifecycle_chain_id", "7a38936db8ecec94"),
        ("agent_id", {"a": 1}),
    ],
)
def test_a_field_of_another_type_or_form_is_named(name: str, value: object) -> None:
    assert name in refusal(raw(MINIMAL | {name: value})).message


@pytest.mark.parametrize(
    ("name", "value"),
    [("revocation_reason", 1), ("ai_context", '{"provider":"x"}'), ("references", [])],
)
def test_both_published_variants_of_a_type_are_accepted(name: str, value: object) -> None:
    assert getattr(decode_witness(raw(MINIMAL | {name: value})), name) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        raw(MINIMAL) + b"x",
        raw(MINIMAL)[:-1] + b',"x":"\xff"}',
        raw(MINIMAL)[:-1] + b',"ai_model_id":"\\ud800"}',
        raw(MINIMAL)[:-1] + b',"x":' + b"[" * 100_000,
    ],
    ids=range(8),
)
def test_what_is_no_witness_object_is_refused(data: bytes) -> None:
    assert refusal(data).message


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_the_typed_error(data: bytes) -> None:
    assert refusal(data).message


def test_minted_payloads_are_compact_and_keep_their_order() -> None:
    encoded = encode_payload(MINIMAL)
    assert encoded == json.dumps(MINIMAL, separators=(",", ":")).encode()
    assert decode_witness(encoded) == decode_witness(raw(MINIMAL))


@pytest.mark.parametrize(
    "change", [{"factor_a": None}, {"anchor_epoch": 1}, {"ai_context": {"a": {1: object()}}}]
)
def test_what_would_not_be_relayed_is_not_minted(change: dict[str, Any]) -> None:
    with pytest.raises(FormatError) as error:
        encode_payload(MINIMAL | change)
    assert error.value.code == "BAD_FIELD"
