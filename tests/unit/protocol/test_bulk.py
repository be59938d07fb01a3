"""Proofs for many records at once: what one record lacks, another cannot make up for."""

import json
from typing import Any

import pytest

from swt3_agent.protocol.bulk import prove_sound
from swt3_agent.protocol.strict_json import MAX_DEPTH
from tests.support.anchors import inference_anchor


def encoded(**changes: Any) -> bytes:
    return json.dumps(inference_anchor(**{"clearing_level": 0, **changes})).encode()


def proven(*payloads: bytes, level: int = 0) -> list[bool]:
    colons = sum(payload.count(b":") for payload in payloads)
    witnesses = prove_sound(payloads, colons, tenant="LOCAL", level=level)
    return [witness is not None for witness in witnesses]


def nested(depth: int) -> bytes:
    context: dict[str, Any] = {}
    for _ in range(depth - 2):  # the witness is one level, the innermost object another
        context = {"a": context}
    return encoded(ai_context=context)


def test_a_witness_is_given_for_each_sound_record() -> None:
    one, other = inference_anchor(agent_id="one"), inference_anchor(agent_id="other")
    payloads = [json.dumps(anchor).encode() for anchor in (one, other)]
    colons = sum(payload.count(b":") for payload in payloads)
    witnesses = prove_sound(payloads, colons, tenant="LOCAL", level=3)
    assert [witness and witness.agent_id for witness in witnesses] == ["one", "other"]
    assert prove_sound(payloads, colons, tenant="OTHER", level=3) == [None, None]
    assert prove_sound((), 0, tenant="LOCAL", level=3) == []


@pytest.mark.parametrize(
    "odd",
    [
        encoded(references=[{"fingerprint": "c059eb5938c0", "relationship": None}]),
        encoded(agent_id=None),
        encoded(ai_context={}),
        encoded(ai_context={"a": []}),
        encoded(ai_context={"a:b": ":"}),
        encoded(references=[]),
    ],
)
def test_a_repeated_key_is_not_hidden_by_what_another_record_leaves_out(odd: bytes) -> None:
    repeated = encoded()[:-1] + b',"cycle_id":"a","cycle_id":"b"}'
    for payloads in ([odd, repeated], [repeated, odd], [odd, odd, repeated]):
        assert not proven(*payloads)[payloads.index(repeated)]


def test_a_wrong_record_leaves_the_others_their_proof() -> None:
    assert proven(encoded(), encoded(factor_a=5), encoded(factor_a=1.0), encoded()) == [
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"procedure_id": "AI INF 1"},
        {"factor_a": True},
        {"factor_a": 10**400},
        {"ai_prompt_hash": "not hex"},
        {"ai_prompt_hash": "0" * 65},
        {"policy_version_hash": "0" * 11},
        {"payload_signature": "AB"},
        {"new_field": 1},
        {"ai_context": {"hostname": "node"}},
        {"ai_context": {"a": [{"b": {"Serial": 1}}]}},
        {"ai_context": '{"hostname":"node"}'},
    ],
)
def test_what_the_rules_have_to_look_at_is_left_to_them(changes: dict[str, Any]) -> None:
    assert proven(encoded(**changes)) == [False]


def test_a_context_is_proven_to_the_depth_that_every_reader_takes() -> None:
    assert proven(nested(MAX_DEPTH)) == [True]
    assert proven(nested(MAX_DEPTH + 1)) == [False]


def test_no_depth_breaks_the_proof() -> None:
    for depth in range(900, 1100):  # about what the decoder itself takes
        context = b'{"a":' * depth + b"1" + b"}" * depth
        assert proven(encoded()[:-1] + b',"ai_context":' + context + b"}") == [False]


@pytest.mark.parametrize(
    ("level", "declared", "kept"), [(1, 1, True), (1, 2, False), (2, 0, False), (3, 3, False)]
)
def test_the_higher_of_two_levels_holds(level: int, declared: int, kept: bool) -> None:
    assert proven(encoded(ai_latency_ms=5, clearing_level=declared), level=level) == [kept]
