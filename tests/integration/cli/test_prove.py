"""Proofs as a user asks for them: of which log, by which name, and into which file."""

import json
from pathlib import Path

import pytest

from tests.support.agent import AgentProcess, IntakeConnection
from tests.support.anchors import submission

LOG_UNSIGNED = 4


@pytest.mark.parametrize(
    "arguments", [("prove", "1"), ("prove", "0123456789ab"), ("quote", "--nonce", "00" * 16)]
)
def test_what_shows_a_log_does_not_begin_one(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    agent = AgentProcess(tmp_path)
    refused = agent.cli(*arguments, "-o", str(tmp_path / "out"))
    assert refused.returncode == 1
    assert "STATE_ABSENT" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_attest_that_begins_a_log_says_so_once(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path)
    first = agent.cli("attest", "no such collector", "--json")
    assert first.returncode == 2
    assert f"began a new log in {agent.state_dir}" in first.stderr
    assert "began" not in agent.cli("attest", "host").stderr


def test_a_fingerprint_may_be_given_in_capitals(agent_without_tpm: AgentProcess) -> None:
    agent = agent_without_tpm
    request = submission(1, batch=1)
    with IntakeConnection(agent.intake) as intake:
        record = intake.ask(request)["first_seq"]
    fingerprint = request["witnesses"][0]["anchor_fingerprint"].upper()
    proved = agent.json("prove", fingerprint, "-o", str(agent.root / "proof.json"))
    assert proved["record"] == record


def test_a_daemon_whose_control_socket_was_removed_is_named(
    agent_without_tpm: AgentProcess,
) -> None:
    agent = agent_without_tpm
    (agent.root / "control.sock").unlink()
    for verb in (("status",), ("prove", "0")):
        error = agent.json(*verb)["error"]
        assert error["code"] == "CONTROL_GONE"
        assert f"pid {agent.pid} " in error["message"]
        assert "restart" in error["remedy"]


def test_a_proof_inside_json_is_the_file_to_the_byte(agent_without_tpm: AgentProcess) -> None:
    agent = agent_without_tpm
    answer = agent.json("prove", "0")
    assert set(answer) == {"schema", "record", "size", "signed", "proof"}
    assert (answer["schema"], answer["record"]) == ("swt3-agent/prove/1", 0)
    file = agent.root / "proof.json"
    file.write_text(answer["proof"])
    assert agent.cli("verify", str(file)).returncode == LOG_UNSIGNED
    assert agent.json("prove", "0", "-o", str(file))["file"] == str(file)
    assert "proof.json" in agent.cli("prove", "0", "-o", str(file)).stdout


@pytest.mark.parametrize("output", ["absent/proof.json", "/dev/full", "."])
def test_a_proof_that_cannot_be_written_leaves_nothing(
    agent_without_tpm: AgentProcess, output: str
) -> None:
    agent = agent_without_tpm
    before = sorted(agent.root.iterdir())
    refused = agent.cli("prove", "0", "-o", str(agent.root / output), "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["error"]["code"] == "OUTPUT_UNWRITABLE"
    assert sorted(agent.root.iterdir()) == before
