"""The public SDK's Witness, told only that the agent is its endpoint: nothing is lost."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.sdk.conftest import TOKEN, configured_agent

KEPT_BACK_AT_2 = ("ai_latency_ms", "ai_input_tokens", "ai_output_tokens")

MARK = "\npayloads and receipts: "

Start = Callable[..., "subprocess.Popen[str]"]


def round_trip(process: "subprocess.Popen[str]") -> None:
    """Let the program do one round; returns when its payloads are flushed."""
    begin(process)
    await_round(process)


def begin(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def await_round(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    while not process.stdout.readline().startswith("flushed"):
        assert process.poll() is None, process.communicate()


def flushed(process: "subprocess.Popen[str]") -> list[tuple[dict[str, Any], dict[str, Any]]]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    out = process.stdout.read()  # not communicate: what the rounds read ahead would be lost
    assert MARK in out, out
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = json.loads(
        out.partition(MARK)[2].splitlines()[0]
    )
    return pairs


def cleared(payload: dict[str, Any]) -> dict[str, Any]:
    """As the agent keeps it: at level 2 the SDK sends what the specification keeps back."""
    if payload["clearing_level"] != 2:
        return payload
    return {name: value for name, value in payload.items() if name not in KEPT_BACK_AT_2}


def test_every_level_arrives_whole_and_gets_receipts(tmp_path: Path, sdk: Start) -> None:
    agent, endpoint = configured_agent(tmp_path, clearing_level=0)
    with agent:
        processes = [
            sdk("witness", endpoint, TOKEN, "LOCAL", str(level), "1") for level in range(4)
        ]
        for process in processes:
            begin(process)
        pairs = [pair for process in processes for pair in flushed(process)]
        records = agent.records()
    relayed = [record for record in records if record["kind"] == "relayed"]
    kept = {json.dumps(record["payload"], sort_keys=True) for record in relayed}
    assert len(pairs) == len(relayed) == 40
    assert {json.dumps(cleared(payload), sort_keys=True) for payload, _ in pairs} == kept
    assert {payload["procedure_id"] for payload, _ in pairs} == {
        *("AI-INF.1", "AI-INF.2", "AI-MDL.1", "AI-MDL.2", "AI-GRD.1", "AI-GRD.2", "AI-ID.1"),
        *("AI-TOOL.1", "AI-ACC.1", "AI-ENV.2"),
    }
    for payload, receipt in pairs:
        assert (receipt["ok"], receipt["error"]) == (True, None)
        assert receipt["procedure_id"] == payload["procedure_id"]
        assert receipt["clearing_level"] == payload["clearing_level"]
        assert receipt["swt3_anchor"].endswith(payload["anchor_fingerprint"])
        assert receipt["verdict"] == "PASS"
    assert {record["provenance"]["listener"] for record in relayed} == {"http-tcp"}
    assert all(record["provenance"]["bearer"] for record in relayed)


def test_what_exceeds_the_nodes_level_is_cleared_and_not_lost(tmp_path: Path, sdk: Start) -> None:
    agent, endpoint = configured_agent(tmp_path, clearing_level=3)
    with agent:
        process = sdk("witness", endpoint, TOKEN, "LOCAL", "0", "1")
        round_trip(process)
        pairs = flushed(process)
        records = agent.records()
    relayed = {
        record["payload"]["anchor_fingerprint"]: record
        for record in records
        if record["kind"] == "relayed"
    }
    assert len(pairs) == 10
    for payload, receipt in pairs:
        assert receipt["ok"]
        record = relayed[payload["anchor_fingerprint"]]
        assert "ai_context" not in record["payload"]
        assert record["provenance"]["applied_level"] == 3


def test_a_restart_in_the_middle_loses_nothing(tmp_path: Path, sdk: Start) -> None:
    agent, endpoint = configured_agent(tmp_path, clearing_level=1)
    process = sdk("witness", endpoint, TOKEN, "LOCAL", "1", "2")
    with agent:
        round_trip(process)
        agent.kill()
    begin(process)
    with agent:
        await_round(process)
        pairs = flushed(process)
        records = agent.records()
    sent = {payload["anchor_fingerprint"] for payload, _ in pairs}
    kept = {
        record["payload"]["anchor_fingerprint"] for record in records if record["kind"] == "relayed"
    }
    assert len(pairs) == 20
    assert sent <= kept
    assert all(receipt["ok"] for _, receipt in pairs)
