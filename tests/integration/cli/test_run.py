"""What `run --json` prints for a program that started it."""

import json
import subprocess
from pathlib import Path

from tests.support.agent import AgentProcess


def test_run_says_in_json_when_it_is_ready_and_when_it_has_stopped(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path)
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            agent.command("run", "--json"),
            env=agent.environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as daemon,
    ):
        assert daemon.stdout is not None
        ready = json.loads(daemon.stdout.readline())
        status = agent.json("status")
        daemon.terminate()
        stopped = [json.loads(line) for line in daemon.stdout]
    assert daemon.returncode == 0
    assert (ready["schema"], ready["event"]) == ("swt3-agent/run/1", "ready")
    assert (ready["pid"], ready["node_id"]) == (daemon.pid, status["node_id"])
    assert ready["socket"] == str(agent.intake)
    assert Path(ready["control"]).parent == tmp_path
    assert stopped == [{"schema": "swt3-agent/run/1", "event": "stopped"}]


def test_a_reader_that_went_away_does_not_end_the_daemon(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path)
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            agent.command("run", "--json"),
            env=agent.environment,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as daemon,
    ):
        assert daemon.stdout is not None
        daemon.stdout.readline()
        daemon.stdout.close()
        daemon.terminate()
    assert daemon.returncode == 0
