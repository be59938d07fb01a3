"""What is accepted or quarantined (docs/formats.md, "Intake")."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.clearing import KEPT_THROUGH, clear
from swt3_agent.relay.judgement import (
    Rules,
    held,
    judge,
    judge_quickly,
    read_strictly,
)
from swt3_agent.relay.limits import IntakeLimits
from tests.support.anchors import inference_anchor

_HASH = "315f5bdb76d078c4"
_OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "ai_model_id": st.sampled_from([_HASH, "llama", "llama3:70b", ""]),
    "ai_prompt_hash": st.sampled_from([_HASH, ""]),
    "ai_system_prompt_hash": st.just(_HASH),
    "ai_latency_ms": st.integers(0, 5),
    "ai_context": st.one_of(
        st.dictionaries(
            st.sampled_from(["provider", "hostname", "sandbox_id", "guardrails", "a:b"]),
            st.none() | st.integers() | st.sampled_from(["x", "", "a:b"]) | st.just([1]),
        ),
        st.just({"gpus": [{"uuid": "GPU-1"}]}),
        st.just('{"hostname":"x"}'),
    ),
    "agent_id": st.sampled_from(["node", "spiffe://node", ""]),
    "references": st.just(["c059eb5938c0"]),
    "new_field": st.just(1),
}
_OPTIONAL_NAMES = [*_OPTIONAL, "legal_basis", "ai_response_hash", "clearing_level"]
_payloads = st.fixed_dictionaries({}, optional=_OPTIONAL)


def _judged(payload: bytes, level: int) -> bytes:
    rules = Rules("LOCAL", level, IntakeLimits())
    return judge(payload, rules)[1]


@given(extra=_payloads, declared=st.integers(0, 3), level=st.integers(0, 3), spaced=st.booleans())
def test_keeps_exactly_what_clearing_leaves(
    extra: dict[str, Any], declared: int, level: int, spaced: bool
) -> None:
    anchor = inference_anchor(**extra, clearing_level=declared)
    payload = json.dumps(anchor, separators=None if spaced else (",", ":")).encode()
    cleared, removed = clear(anchor, max(declared, level))
    kept = _judged(payload, level)
    assert list(json.loads(kept).items()) == list(cleared.items())
    assert (kept is payload) == (not removed)


def test_what_is_kept_of_a_cleared_record_keeps_its_spelling() -> None:
    anchor = inference_anchor(ai_latency_ms=7, clearing_level=1)
    text = json.dumps(anchor).replace('"factor_b": 1', '"factor_b" : 1.00')
    text = text[:-1] + ', "authorization_expires": 1e3, "cycle_id": "\\u0061"}'
    payload = text.replace(', "authorization_expires": 1e3', "").encode()
    kept = _judged(payload, 3)
    assert b'"factor_b":1.00,' in kept
    assert b'"cycle_id":"\\u0061"' in kept
    assert b"ai_latency_ms" not in kept


def test_integers_in_a_context_keep_their_digits() -> None:
    context = {"hostname": "node-17", "big": 2**70}
    kept = _judged(json.dumps(inference_anchor(ai_context=context, clearing_level=1)).encode(), 1)
    assert json.loads(kept)["ai_context"]["big"] == 2**70


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("agent_id", "the patient asked about her results"),
        ("authorization_scope", "read all of it"),
        ("purpose_class", "x" * 65),
        ("authorization_expires", 2**60),
        ("references", [{"fingerprint": "c059eb5938c0", "provenance_token": "what she said"}]),
        ("references", ["c059eb5938c0"] * 65),
        ("references", ["a bare text"]),
    ],
)
def test_free_text_in_an_operational_field_is_refused_at_level_3_only(
    name: str, value: Any
) -> None:
    payload = json.dumps(inference_anchor(**{name: value}, clearing_level=2)).encode()
    assert _judged(payload, 2) == payload
    rules = Rules("LOCAL", 3, IntakeLimits())
    assert judge_quickly([payload], payload.count(b":"), rules) == [None]
    with pytest.raises(FormatError) as raised:
        judge(payload, rules)
    assert raised.value.code == "BAD_FIELD"
    assert name in raised.value.message
    assert str(value)[:12] not in raised.value.message
    kept, level = held(payload, rules)
    assert level == 3
    assert json.loads(kept) == {k: v for k, v in json.loads(payload).items() if k != name}


@pytest.mark.parametrize("said", [None, 4, "3", True, 1.0])
def test_of_a_refused_record_that_names_no_level_the_log_keeps_what_level_3_lets_through(
    said: Any,
) -> None:
    anchor = inference_anchor(ai_latency_ms=7, agent_id="two words")
    payload = json.dumps({**anchor, "clearing_level": said}).encode()
    kept, level = held(payload, Rules("LOCAL", 0, IntakeLimits()))
    if kept:
        assert level == 3
        assert not {"ai_latency_ms", "agent_id"} & json.loads(kept).keys()


@given(extra=_payloads, prose=st.sampled_from(_OPTIONAL_NAMES), level=st.integers(0, 3))
def test_no_more_is_held_of_a_refused_record_than_clearing_leaves(
    extra: dict[str, Any], prose: str, level: int
) -> None:
    anchor = inference_anchor(**{**extra, prose: "what she said"}, factor_a=2)
    kept, applied = held(json.dumps(anchor).encode(), Rules("LOCAL", level, IntakeLimits()))
    cleared, _ = clear(anchor, applied)
    assert not kept or json.loads(kept).items() <= cleared.items()
    assert applied < 3 or b"what she said" not in kept


@given(extra=_payloads, name=st.sampled_from([*_OPTIONAL, "factor_a", "cycle_id"]))
def test_a_repeated_key_is_refused_whatever_else_is_there(extra: dict[str, Any], name: str) -> None:
    anchor = inference_anchor(**extra)
    value = anchor.get(name, "x")
    twice = json.dumps({**anchor, name: value})[:-1] + f",{json.dumps(name)}:{json.dumps(value)}}}"
    payload = twice.encode()
    with pytest.raises(FormatError) as raised:
        _judged(payload, 0)
    assert raised.value.code == "BAD_FIELD"


_FAULTS: dict[str, st.SearchStrategy[Any]] = {
    "factor_a": st.sampled_from([1, 1.0, 0.5, 2, 2**53, -(2**53), 10**400, True]),
    "anchor_fingerprint": st.just("0" * 12),
    "anchor_epoch": st.just(1),
    "ai_prompt_hash": st.sampled_from(["XYZ", "A" * 16, "0" * 65]),
    "policy_version_hash": st.sampled_from(["0123456789ab", "short", "0123456789aG"]),
    "jurisdiction": st.sampled_from(["DE", "EU,US-CA", "", "all of them"]),
    "revocation_reason": st.sampled_from(["model_recall", 1, 2**60, "he said so"]),
    "lifecycle_chain_id": st.sampled_from(["LC-7a38936db8ecec94", ""]),
    "signing_key_version": st.sampled_from([1, 2**60]),
    "payload_signature": st.sampled_from(["ab", "AB", "xy"]),
    "references": st.sampled_from(
        [
            [{"fingerprint": "c059eb5938c0", "relationship": None}],
            [{"fingerprint": "c059eb5938c0", "provenance_token": "SWT3-E-X"}, "c059eb5938c0"],
            [{"fingerprint": "c059eb5938c0", "provenance_token": "he said so"}],
            [{"fingerprint": "c059eb5938c0", "more": "x"}],
            ["he said so"],
            ["c059eb5938c0"] * 65,
        ]
    ),
    "ai_context": st.recursive(
        st.just({"provider": "x"}),
        lambda inner: (
            st.builds(lambda deeper: {"a": [deeper, {"hostname": "h"}]}, inner)
            | st.builds(lambda deeper: {"b": deeper}, inner)
        ),
    ),
}
_records = st.builds(
    lambda extra, faults, declared, spaced, twice: _written_record(
        inference_anchor(clearing_level=declared, **extra) | faults, spaced, twice
    ),
    _payloads,
    st.fixed_dictionaries({}, optional=_FAULTS),
    st.integers(0, 4),
    st.booleans(),
    st.sampled_from(["", "", "", "agent_id", "cycle_id", "factor_a"]),
)


def _written_record(anchor: dict[str, Any], spaced: bool, twice: str) -> bytes:
    text = json.dumps(anchor, separators=None if spaced else (",", ":"))
    if twice:
        text = f"{text[:-1]},{json.dumps(twice)}:{json.dumps(anchor.get(twice, 'x'))}}}"
    return text.encode()


@given(
    records=st.lists(_records, min_size=1, max_size=4), level=st.integers(0, 3), drop=st.booleans()
)
def test_in_bulk_nothing_is_accepted_that_is_not_accepted_alone(
    records: list[bytes], level: int, drop: bool
) -> None:
    rules = Rules("LOCAL", level, IntakeLimits(), drop)
    colons = sum(record.count(b":") for record in records)
    for record, witness in zip(records, judge_quickly(records, colons, rules), strict=True):
        if witness is not None:
            judged, kept = judge(record, rules)
            assert kept is record
            assert judged.agent_id == witness.agent_id
            assert judged.clearing_level == witness.clearing_level


@pytest.mark.parametrize("level", range(4))
def test_common_records_are_accepted_in_bulk(level: int) -> None:
    common: dict[str, Any] = {"agent_id": "node", "payload_signature": "ab" * 32}
    if level <= 2:
        common |= {"ai_model_id": "llama3:70b", "ai_prompt_hash": _HASH, "ai_response_hash": _HASH}
    if level <= 1:
        context = {"provider": "vllm", "guardrails": ["pii"], "usage": {"cached": 3}}
        common |= {"ai_latency_ms": 12, "ai_context": context, "policy_version_hash": "0" * 12}
    records = [
        json.dumps(inference_anchor(clearing_level=declared, **common)).encode()
        for declared in range(level + 1)
    ]
    colons = sum(record.count(b":") for record in records)
    assert None not in judge_quickly(records, colons, Rules("LOCAL", level, IntakeLimits()))


@pytest.mark.parametrize("key", ['"guardrails"', '"\\u0067uardrails"'])
@pytest.mark.parametrize(
    ("level", "drop", "named"), [(1, True, False), (0, True, True), (1, False, True)]
)
def test_names_of_guardrails_leave_at_level_1_where_they_may(
    key: str, level: int, drop: bool, named: bool
) -> None:
    anchor = inference_anchor(
        clearing_level=level, ai_context={"provider": "x", "guardrails": ["pii"]}
    )
    payload = json.dumps(anchor).replace('"guardrails"', key).encode()
    rules = Rules("LOCAL", level, IntakeLimits(), drop)
    quickly = judge_quickly([payload], payload.count(b":"), rules)
    _, kept = judge(payload, rules)
    assert (b"pii" in kept) is named
    assert named or quickly == [None]


def test_every_field_of_a_witness_has_a_clearing_rule() -> None:
    from swt3_agent.protocol.payload import Witness

    assert set(Witness.__struct_fields__) == set(KEPT_THROUGH)


_text = st.text(alphabet=st.sampled_from('a:"\\é\x00{[,'), max_size=4)
_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _text


class _Pairs(list[tuple[str, Any]]):
    """An object that may repeat its keys."""


def _written(value: Any, escape: bool) -> str:
    if isinstance(value, _Pairs):
        members = (f"{_written(k, escape)}:{_written(v, escape)}" for k, v in value)
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(item, escape) for item in value) + "]"
    text = json.dumps(value)
    return text.replace(":", "\\u003a") if escape and isinstance(value, str) else text


_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(_text, inner), max_size=4).map(_Pairs)
    ),
    max_leaves=12,
)


def _reading(read: Any) -> Any:
    try:
        return read()
    except FormatError as error:
        return error.code


@given(value=_values, escape=st.booleans())
def test_is_read_as_the_strict_reader_reads_it(value: Any, escape: bool) -> None:
    payload = f'{{"x":{_written(value, escape)}}}'.encode()
    assert _reading(lambda: read_strictly(payload)) == _reading(
        lambda: strict_json.loads(payload, max_bytes=len(payload))
    )


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"a":1,"a":2}', "DUPLICATE_KEY"),
        (b'{"a":1,"\\u0061":2}', "DUPLICATE_KEY"),
        (b'{"a":"\\u003a\\u003a","a":2}', "DUPLICATE_KEY"),
        (b'{"a":[{"b":1,"b":1}]}', "DUPLICATE_KEY"),
        (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "TOO_DEEP"),
        (b'{"a":1e999}', "NOT_JSON"),
        (b'{"a":NaN}', "NOT_JSON"),
        (b'{"a":"\\ud800"}', "NOT_JSON"),
        (b'{"a":"\xff"}', "NOT_JSON"),
    ],
)
def test_refuses_what_two_readers_could_read_differently(payload: bytes, code: str) -> None:
    with pytest.raises(FormatError) as raised:
        read_strictly(payload)
    assert raised.value.code == code


def test_brackets_in_texts_and_side_by_side_are_no_depth() -> None:
    read_strictly(json.dumps({"a": "[" * 100, "b": [[]] * 100}).encode())
