"""From emit's arguments to a witness (docs/protocol.md 1, 4, 6)."""

import json
from typing import Any

import pytest

from swt3_agent.client.minting import Emitted, Minter
from swt3_agent.client.settings import ClientSettings
from swt3_agent.errors import FormatError
from swt3_agent.protocol.fingerprint import match_fingerprint
from swt3_agent.protocol.payload import Witness, decode_witness

NOW_NS = 1_774_800_000_123_456_789


def _minted(level: int = 1, **changes: Any) -> dict[str, Any]:
    emitted = Emitted(NOW_NS, "AI-INF.1", 1, 1, 0)._replace(**changes)
    raw = Minter(ClientSettings(clearing_level=level)).mint(emitted)
    decode_witness(raw)
    payload = json.loads(raw)
    assert isinstance(payload, dict)
    return payload


def test_a_minted_witness_passes_the_checks_of_the_intake() -> None:
    payload = _minted(
        model_id="llama",
        prompt_hash="315f5bdb76d078c4",
        latency_ms=12.6,
        input_tokens=3,
        context={"provider": "vllm"},
        agent_id="node",
        others={"jurisdiction": "EU"},
    )
    assert payload["ai_latency_ms"] == 13
    assert payload["jurisdiction"] == "EU"
    assert "ai_response_hash" not in payload
    witness: Witness = decode_witness(json.dumps(payload).encode())
    assert match_fingerprint(
        "LOCAL", "AI-INF.1", 1, 1, 0, NOW_NS // 1_000_000, witness.anchor_fingerprint
    )


def test_content_beyond_the_level_never_leaves_the_process() -> None:
    payload = _minted(level=3, model_id="llama", prompt_hash="315f5bdb76d078c4", latency_ms=1)
    assert payload["clearing_level"] == 3
    assert set(payload) - set(_minted(level=3)) == {"ai_model_id"}
    assert payload["ai_model_id"] != "llama"


def test_equal_events_of_one_millisecond_get_times_and_fingerprints_of_their_own() -> None:
    minter = Minter(ClientSettings())
    minted = [json.loads(minter.mint(Emitted(NOW_NS, "AI-INF.1", 1, 1, 0))) for _ in range(100)]
    assert len({one["anchor_fingerprint"] for one in minted}) == 100
    other = json.loads(minter.mint(Emitted(NOW_NS, "AI-INF.1", 1, 0, 0)))
    assert other["fingerprint_timestamp_ms"] == NOW_NS // 1_000_000


def test_times_run_ahead_by_a_second_at_most() -> None:
    minter = Minter(ClientSettings())
    times = [
        json.loads(minter.mint(Emitted(NOW_NS, "AI-INF.1", 1, 1, 0)))["fingerprint_timestamp_ms"]
        for _ in range(3000)
    ]
    assert max(times) - NOW_NS // 1_000_000 == 1000


@pytest.mark.parametrize(
    "changes",
    [
        {"procedure_id": "inference"},
        {"procedure_id": None},
        {"factor_a": 0.5},
        {"factor_a": 2**60},
        {"factor_a": "1"},
        {"context": {"a": float("nan")}},
        {"context": {"a": object()}},
        {"context": {"a": "\ud800"}},
        {"context": {"a": "x" * 300_000}},
        {"latency_ms": "slow"},
        {"others": {"modle_id": "x"}},
        {"time_ns": None},
    ],
    ids=repr,
)
def test_what_is_no_anchor_is_refused_with_a_reason(changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError) as raised:
        _minted(level=0, **changes)
    assert raised.value.code == "BAD_FIELD"


def test_a_context_that_holds_itself_is_refused() -> None:
    context: dict[str, Any] = {}
    context["again"] = context
    with pytest.raises(FormatError):
        _minted(level=0, context=context)


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("field", ["prompt_hash", "response_hash"])
def test_a_prompt_given_where_its_hash_belongs_never_leaves_the_process(
    field: str, level: int
) -> None:
    with pytest.raises(FormatError) as caught:
        _minted(level=level, **{field: "What is wrong with me?"})
    assert "wrong with me" not in str(caught.value)
    assert "content_hash" in caught.value.remedy


@pytest.mark.parametrize(
    ("procedure", "factors", "minted"),
    [
        ("AI-INF.2", (30_000, 1234, 0), (30_000, 2000, 0)),
        ("AI-INF.2", (1500, 1234, 0), (1500, 1500, 0)),
        ("AI-INF.2", (30_000, 30_001, 1), (30_000, 50_000, 1)),
        ("AI-TOOL.1", (1, 0, 1), (1, 1, 1)),
        ("AI-ENV.1", (42, 85, 1), (42, 85, 1)),
    ],
)
def test_at_level_3_a_latency_is_minted_coarse(
    procedure: str, factors: tuple[int, int, int], minted: tuple[int, int, int]
) -> None:
    a, b, c = factors
    for level, expected in ((2, factors), (3, minted)):
        payload = _minted(level, procedure_id=procedure, factor_a=a, factor_b=b, factor_c=c)
        assert (payload["factor_a"], payload["factor_b"], payload["factor_c"]) == expected
        assert match_fingerprint(
            "LOCAL",
            procedure,
            *expected,
            payload["fingerprint_timestamp_ms"],
            payload["anchor_fingerprint"],
        )


def test_at_level_3_prose_in_an_operational_field_is_not_minted() -> None:
    assert _minted(2, agent_id="what she said")["agent_id"] == "what she said"
    with pytest.raises(FormatError, match="agent_id") as raised:
        _minted(3, agent_id="what she said")
    assert "what she said" not in raised.value.message
