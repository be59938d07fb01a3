"""A stop while something runs: nothing keeps the daemon from ending, and nothing breaks by it."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from swt3_agent.config import Config, load_config
from swt3_agent.daemon import node_tpm
from swt3_agent.daemon.node import Node
from swt3_agent.tpm.client import Tpm, TpmIdentity
from swt3_agent.tpm.software import SoftwareTpm
from tests.support.agent import AgentProcess

HUGE = 1 << 42  # bytes of nothing: a hole that no machine hashes while a test runs


@pytest.fixture
def model(tmp_path: Path) -> Path:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(HUGE)
    return tmp_path / "model.safetensors"


def test_a_model_that_takes_hours_holds_up_no_stop(tmp_path: Path, model: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(json.dumps({"agent": {"models": [{"name": "m", "path": str(model)}]}}))
    agent = AgentProcess(tmp_path, arguments=("--config", str(file)))
    with agent, socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(30)
        asking.connect(str(tmp_path / "control.sock"))
        asking.sendall(b'{"op":"attest","args":{"collectors":["weights"]}}\n')
        assert agent.json("status")["running"]  # so the question before this one was heard too
        agent.await_open_file(model)
        code, log = agent.stop()
        answer = asking.recv(1 << 16)
    assert code == 0, log
    assert "Traceback" not in log
    assert json.loads(answer)["error"]["code"] == "STOPPING"
    assert agent.cli("fsck").returncode == 0
    assert [record["kind"] for record in agent.records()][-1] == "checkpoint"


def test_a_tpm_that_is_lost_while_the_node_opens_does_not_keep_it_from_running(
    tmp_path: Path, software_tpm: SoftwareTpm, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LostOnceOpen(Tpm):
        def open(self) -> TpmIdentity:
            identity = super().open()
            os.kill(software_tpm.pid, signal.SIGKILL)
            return identity

    monkeypatch.setattr(node_tpm, "Tpm", LostOnceOpen)
    with Node(settings(tmp_path, software_tpm)) as opened:
        assert {finding.code for finding in opened.findings} == {"TPM_ABSENT"}
        assert opened.attest(["host"])[0].record < opened.journal.size


def settings(directory: Path, tpm: SoftwareTpm) -> Config:
    return load_config(
        {
            "SWT3_STATE_DIR": str(directory / "state"),
            "SWT3_AGENT_SOCKET": str(directory / "intake.sock"),
            "SWT3_TPM_TCTI": tpm.tcti,
        }
    )
