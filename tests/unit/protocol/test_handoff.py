"""Handoff files: docs/formats.md, "Handoff file"."""

import base64
import json
from hashlib import sha256
from typing import Any

import pytest

from swt3_agent.protocol.custody import commitment
from swt3_agent.protocol.handoff import encode_handoff, handoff, handoff_names

SECRET = bytes(range(32))
DIGEST = sha256(b"cleared").digest()
TOOL: dict[str, Any] = {
    "procedure_id": "AI-TOOL.1",
    "factor_a": 1,
    "factor_b": 42,
    "factor_c": 1,
    "clearing_level": 1,
    "anchor_fingerprint": "b16bf9139c16",
    "anchor_epoch": 1774800010,
    "fingerprint_timestamp_ms": 1774800010000,
    "ai_model_id": "search",
    "ai_latency_ms": 42,
    "ai_context": {"provider": "tool", "tool_name": "search", "tool_call_id": "call_9"},
    "agent_id": "router-7",
}


def made(record: dict[str, Any] | bytes, tenant: str = "VULTR_ENCLAVE") -> dict[str, Any]:
    original = record if isinstance(record, bytes) else json.dumps(record).encode()
    return json.loads(encode_handoff(handoff(tenant, SECRET, original, DIGEST, 3)))  # type: ignore[no-any-return]


def test_the_published_keys_are_as_they_were() -> None:
    content = made(TOOL)
    assert list(content)[:11] == [
        "handoff_version",
        "handoff_type",
        "tenant_id",
        "agent_id",
        "timestamp_iso",
        "anchor_fingerprint",
        "anchor_epoch",
        "fingerprint_timestamp_ms",
        "clearing_level",
        "factors",
        "metadata",
    ]
    assert (content["handoff_version"], content["handoff_type"]) == ("1.0.0", "clearing_level_1")
    assert content["timestamp_iso"] == "2026-03-29T16:00:10+00:00"
    assert content["factors"] == {name: TOOL[name] for name in list(TOOL)[:4]}
    metadata = content["metadata"]
    assert len(metadata) == 15
    assert metadata["ai_tool_name"] == "search"
    assert metadata["ai_tool_call_id"] == "call_9"
    assert (metadata["ai_provider"], metadata["ai_latency_ms"]) == ("tool", 42)
    assert metadata["ai_guardrail_names"] == []


def test_ours_stand_beside_them() -> None:
    content = made(TOOL)
    assert content["record_digest"] == DIGEST.hex()
    assert content["fingerprint_full"].startswith("b16bf9139c16")
    assert content["context"] == TOOL["ai_context"]
    assert content["operational"] == {"agent_id": "router-7"}
    envelope = content["envelope"]
    original = base64.b64decode(envelope["original"])
    assert json.loads(original) == TOOL
    assert envelope["commitment"] == commitment(bytes.fromhex(envelope["secret"]), original)
    assert envelope["applied_level"] == 3


def test_an_access_says_to_what() -> None:
    context = {"access_target": "db", "access_scope": "read", "access_granted": True, "x": 1}
    assert made({**TOOL, "ai_context": context})["access"] == {
        name: context[name] for name in list(context)[:3]
    }
    assert made({**TOOL, "ai_context": json.dumps(context)})["access"]["access_target"] == "db"


def test_doubles_are_confirmed_as_they_were_hashed() -> None:
    doubles = {**TOOL, "factor_a": 1.0, "factor_b": 42.0, "factor_c": 1.0}
    assert made(doubles)["fingerprint_full"] == made(TOOL)["fingerprint_full"]


@pytest.mark.parametrize(
    "change",
    [
        {"factor_b": 43},
        {"factor_b": True},
        {"factor_b": "42"},
        {"procedure_id": 1},
        {"procedure_id": "no procedure"},
        {"fingerprint_timestamp_ms": 1774800010000.0},
        {"anchor_fingerprint": None},
        {"anchor_epoch": 10**30},
    ],
)
def test_a_quarantined_record_is_shown_as_it_is(change: dict[str, Any]) -> None:
    content = made({**TOOL, **change})
    if "anchor_epoch" in change:
        assert content["timestamp_iso"] is None
    else:
        assert content["fingerprint_full"] is None


@pytest.mark.parametrize("original", [b"", b"not JSON", b"[1]", b'{"a":1,"a":2}', b"\xff"])
def test_of_an_opaque_record_the_envelope_speaks(original: bytes) -> None:
    content = made(original)
    assert base64.b64decode(content["envelope"]["original"]) == original
    assert content["anchor_fingerprint"] is None
    assert content["handoff_type"] == "clearing_level_3"


@pytest.mark.parametrize("fingerprint", ["../../etc/x", "B16BF9139C16", "", None, 5, "a" * 13])
def test_no_record_chooses_where_its_file_goes(fingerprint: object) -> None:
    names = handoff_names(made({**TOOL, "anchor_fingerprint": fingerprint}))
    assert [name.partition("-")[0] for name in names[1:]] == ["unidentified"] * 2
    assert names[0] == "unidentified.json"


def test_names_tell_equal_fingerprints_apart() -> None:
    assert handoff_names(made(TOOL)) == (
        "b16bf9139c16.json",
        f"b16bf9139c16-{DIGEST.hex()[:16]}.json",
        f"b16bf9139c16-{DIGEST.hex()[:16]}-{made(TOOL)['envelope']['commitment'][:16]}.json",
    )
