"""Who may use the control socket may operate, also where the state directory is not theirs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.agent import CLI_TIMEOUT_S, AgentProcess

_NOBODY = 65534
_AS_NOBODY = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def reached(room: Path) -> Path:
    """A directory that other users go through."""
    room.chmod(0o711)
    python = [*_AS_NOBODY, sys.executable, "-c", "import swt3_agent.cli"]
    if subprocess.run(python, check=False, timeout=CLI_TIMEOUT_S).returncode != 0:
        pytest.skip("other users may not run this interpreter")
    return room


def _as_nobody(agent: AgentProcess, *verb: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*_AS_NOBODY, *agent.command(*verb)],
        env=agent.environment,
        capture_output=True,
        text=True,
        timeout=CLI_TIMEOUT_S,
        check=False,
    )


def test_an_operator_asks_and_orders_without_seeing_the_state(reached: Path) -> None:
    with AgentProcess(reached) as agent:
        os.chown(reached / "control.sock", -1, _NOBODY)  # as to the group swt3
        status = json.loads(_as_nobody(agent, "status", "--json").stdout)
        assert (status["running"], status["pid"]) == (True, agent.pid)
        attested = _as_nobody(agent, "attest", "host", "--json")
        assert [row["verdict"] for row in json.loads(attested.stdout)] == ["RECORDED"]


def test_who_is_no_operator_is_told_which_group_is(reached: Path) -> None:
    with AgentProcess(reached) as agent:
        refused = _as_nobody(agent, "status", "--json")
        error = json.loads(refused.stdout)["error"]
        assert error["code"] == "CONTROL_DENIED"
        assert "swt3" in error["remedy"]


def test_where_no_agent_runs_the_state_is_its_owners(reached: Path) -> None:
    agent = AgentProcess(reached)
    assert agent.cli("attest", "host").returncode == 0
    refused = _as_nobody(agent, "status", "--json")
    assert json.loads(refused.stdout)["error"]["code"] == "STATE_DENIED"
