"""A daemon that was down at midnight: the day is sealed when it starts, and everybody can ask."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swt3_agent.config import load_config
from swt3_agent.daemon.node import Node
from swt3_agent.protocol import days
from swt3_agent.protocol.merkle import (
    MerkleProof,
    MerkleStep,
    get_merkle_root,
    verify_merkle_proof,
)
from swt3_agent.store import group_commit, heads
from tests.support.agent import AgentProcess

DAY_S = 86_400
PATIENCE_S = 20.0


def date_of(utc_s: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(utc_s))


@pytest.fixture
def left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[AgentProcess, str, str]:
    """The state of an agent that attested once three days ago; the day, and the fingerprint."""
    agent = AgentProcess(tmp_path)
    three_days_ago = SimpleNamespace(time_ns=lambda: time.time_ns() - 3 * DAY_S * 10**9)
    date = date_of(time.time() - 3 * DAY_S)
    with monkeypatch.context() as patched:
        for module in (group_commit, heads):
            patched.setattr(module, "time", three_days_ago)
        with Node(load_config(agent.environment, None)) as node:
            (attested,) = node.attest(["platform"])
    assert attested.fingerprint is not None
    return agent, date, attested.fingerprint


def sealed_day(agent: AgentProcess, date: str) -> Any:
    """The day as soon as it is sealed and has its anchor: the daemon does so beside its start."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        day = agent.json("merkle", date)
        if day.get("sealed") and day["anchor"] is not None:
            return day
        time.sleep(0.05)
    raise AssertionError(f"{date} was not sealed: {day}")


def test_a_day_that_was_missed_is_sealed_at_the_start_and_proved_from_then_on(
    left_behind: tuple[AgentProcess, str, str],
) -> None:
    agent, date, fingerprint = left_behind
    assert agent.json("merkle", date)["sealed"] is False  # as far as the log says
    with agent:
        newest = sealed_day(agent, days.date_of(days.day_to_seal(time.time())))
        day = sealed_day(agent, date)
        proof = agent.json("merkle", "--fingerprint", fingerprint)
        text = agent.cli("merkle", date)
        history = agent.json("history", "--procedure", "AI-AUDIT.1")
        status = agent.json("status")
    assert day["root"] == get_merkle_root([fingerprint])
    assert (day["count"], day["late"], day["verified"]) == (1, 0, True)
    assert (newest["sealed"], newest["count"], newest["root"]) == (True, 0, "")
    steps = tuple(MerkleStep(step["hash"], step["position"]) for step in proof["steps"])
    assert verify_merkle_proof(
        MerkleProof(proof["fingerprint"], proof["leaf_hash"], proof["root"], steps)
    )
    assert {"schema": "swt3-agent/merkle/1", **proof["day"]} == day
    assert day["anchor"]["token"] in text.stdout
    assert [one["count"] for one in history["procedures"]] == [2]
    (audit,) = [one for one in status["collectors"] if one["name"] == "audit"]
    assert audit["outcome"] == "PASS, PASS"
    stopped = agent.json("merkle", "--fingerprint", fingerprint)
    assert stopped["root"] == proof["root"]
    of = {"record_proof": stopped["record"], "seal_proof": stopped["day"]["record"]}
    for proved, record in of.items():  # the head at the stop covers both
        (agent.root / proved).write_text(stopped[proved])
        report = agent.json("verify", str(agent.root / proved))
        assert report["code"] == "LOG_UNSIGNED"  # all that a node without a TPM lacks
        assert report["record"]["seq"] == record


def test_days_and_fingerprints_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with AgentProcess(tmp_path) as agent:
        for arguments, code in (
            (("2020-01-01",), "NO_SUCH_DAY"),
            (("2020-1-1",), "BAD_DATE"),
            (("--fingerprint", "0123456789ab"), "NO_SUCH_RECORD"),
            (("--fingerprint", "xyz"), "BAD_FINGERPRINT"),
        ):
            done = agent.cli("merkle", *arguments, "--json")
            assert done.returncode != 0
            assert json.loads(done.stdout)["error"]["code"] == code
