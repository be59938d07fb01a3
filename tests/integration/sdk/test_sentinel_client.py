"""The public SDK's SentinelClient against a real agent: every operation (docs/protocol.md 15)."""

import hashlib
import hmac
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.sdk.conftest import configured_agent

KEY = "test-signing-key"
POLICY = {"tool_blocklist": ["rm*"], "max_tokens_per_session": 1000}


@pytest.mark.parametrize("level", [1, 3])
def test_every_operation(
    level: int, tmp_path: Path, sdk: Callable[..., "subprocess.Popen[str]"]
) -> None:
    agent, _ = configured_agent(
        tmp_path, clearing_level=level, signing_key=KEY, mcp_policy=POLICY, agent_id="the-node"
    )
    with agent:
        out, _ = sdk("sentinel", str(agent.intake), "LOCAL").communicate(timeout=120)
        assert out.rstrip().endswith("}"), out
        said = json.loads(out.splitlines()[-1])
        records = agent.records()

    assert (said["allowed"], said["free"]) == (True, True)
    assert (said["blocked"], said["rule"], said["action"]) == (True, "blocklist", "blocked")
    assert (said["tool"], said["reason"]) == ("rm_rf", 'Tool "rm_rf" is on the blocklist')
    assert said["timestamp"] > 1_700_000_000_000

    witness, opaque = records[said["recorded"]["seq"]], records[said["opaque"]["seq"]]
    assert (witness["kind"], witness["payload"]) == ("relayed", said["payload"])
    assert (opaque["kind"], opaque["provenance"]["status"]) == ("opaque", "unparsed")
    assert ("original" in opaque["provenance"]) == (level == 3)
    assert "fingerprint" in said["mismatch"]

    named = f"{said['fingerprint']}:inference-7".encode()
    alone = said["fingerprint"].encode()
    assert said["signature"] == hmac.new(KEY.encode(), named, hashlib.sha256).hexdigest()
    assert said["unnamed"] == hmac.new(KEY.encode(), alone, hashlib.sha256).hexdigest()
    assert said["stranger"]
    assert said["prompt"]

    assert [(one["total"], one["budget"]) for one in said["tokens"]] == [(600, 1000), (1000, 1000)]
    assert said["exhausted"] == "token_budget"
    assert said["flushed"]["flushedSeq"] >= said["opaque"]["seq"]
    assert len(said["flushed"]["merkleRoot"]) == 64
    status = said["status"]
    assert (status["tokens"], status["violations"], status["protocolVersion"]) == (1000, 1, 1)
    assert status["walSeq"] >= said["opaque"]["seq"]
    assert status["connections"] == 1
    assert said["connected"]
