"""The bytes of each kind of anchor at each level, relayed and minted (docs/protocol.md 6.1)."""

import json
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.client.minting import Emitted
from swt3_agent.client.minting import Minter as ClientMinter
from swt3_agent.client.settings import ClientSettings
from swt3_agent.protocol.clearing import OPERATIONAL_FIELDS, clear
from swt3_agent.protocol.latency import bucketed
from swt3_agent.relay.judgement import Rules, judge
from swt3_agent.relay.limits import IntakeLimits

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "clearing.json").read_text())
TENANT: str = VECTORS["tenant"]
KINDS = {
    *("AI-INF.1", "AI-INF.2", "AI-MDL.1", "AI-MDL.2", "AI-GRD.1", "AI-GRD.2", "AI-ID.1"),
    *("AI-TOOL.1", "AI-ACC.1", "AI-HW.1", "AI-HW.3", "AI-MDL.5", "AI-MDL.6", "AI-MDL.7"),
    *("AI-ENV.1", "AI-ENV.2", "AI-SHELL.1", "AI-REV.1", "AI-GRD.3", "AI-CHAIN.2"),
}
_OF_TIME = ("anchor_fingerprint", "anchor_epoch", "fingerprint_timestamp_ms")

each = pytest.mark.parametrize(
    ("case", "answer"),
    [
        pytest.param(case, answer, id=f"{case['procedure']}-{answer['level']}")
        for case in VECTORS["cases"]
        for answer in case["levels"]
    ],
)


def test_there_is_an_answer_for_every_kind_and_level() -> None:
    answered = {
        (case["procedure"], answer["level"])
        for case in VECTORS["cases"]
        for answer in case["levels"]
    }
    assert answered == {(kind, level) for kind in KINDS for level in range(4)}


@each
def test_clearing_gives_the_known_answer(case: dict[str, Any], answer: dict[str, Any]) -> None:
    cleared, removed = clear(json.loads(case["input"]), answer["level"])
    assert json.dumps(cleared, separators=(",", ":")) == answer["output"]
    assert list(removed) == answer["removed"]


@each
def test_a_relayed_record_has_the_known_bytes(case: dict[str, Any], answer: dict[str, Any]) -> None:
    rules = Rules(TENANT, answer["level"], IntakeLimits())
    _, kept = judge(case["input"].encode(), rules)
    assert kept == answer["output"].encode()


@each
def test_what_a_client_mints_has_the_known_fields(
    case: dict[str, Any], answer: dict[str, Any]
) -> None:
    given = json.loads(case["input"])
    level = answer["level"]
    emitted = Emitted(
        time_ns=given["fingerprint_timestamp_ms"] * 1_000_000,
        procedure_id=given["procedure_id"],
        factor_a=given["factor_a"],
        factor_b=given["factor_b"],
        factor_c=given["factor_c"],
        model_id=given.get("ai_model_id"),
        prompt_hash=given.get("ai_prompt_hash"),
        response_hash=given.get("ai_response_hash"),
        latency_ms=given.get("ai_latency_ms"),
        input_tokens=given.get("ai_input_tokens"),
        output_tokens=given.get("ai_output_tokens"),
        context=given.get("ai_context"),
        others={
            name: given[name]
            for name in (*OPERATIONAL_FIELDS, "ai_system_prompt_hash")
            if name in given
        },
    )
    minter = ClientMinter(ClientSettings(tenant=TENANT, clearing_level=level))
    minted = json.loads(minter.mint(emitted))
    expected = json.loads(answer["output"]) | {"clearing_level": level}
    factors = bucketed(
        given["procedure_id"], (given["factor_a"], given["factor_b"], given["factor_c"]), level
    )
    if factors[1] != given["factor_b"]:
        expected["factor_b"] = factors[1]
        for name in _OF_TIME:
            expected[name] = minted[name]
    assert minted == expected
