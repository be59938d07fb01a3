"""The daemon on sockets that a service manager opened for it."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.agent import AgentProcess, IntakeConnection
from tests.support.ops import UnixHTTPConnection

STOP_S = 30.0


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="systemd-socket-activate is not here"
)
def test_serves_on_them_and_leaves_their_files(room: Path) -> None:
    agent = AgentProcess(room)
    names = ("intake", "control", "ops")
    listen = [word for name in names for word in ("-l", str(room / f"{name}.sock"))]
    environment = ("SWT3_STATE_DIR", "SWT3_AGENT_SOCKET", "SWT3_TPM_TCTI", "PATH")
    passed = [word for name in environment for word in ("-E", name)]
    command = ["systemd-socket-activate", f"--fdname={':'.join(names)}", *passed, *listen]
    with (room / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *agent.command("run")], env=agent.environment, stderr=log
        )
    try:
        await_socket(room / "ops.sock")
        connection = UnixHTTPConnection(room / "ops.sock")  # it starts with the first connection
        connection.request("GET", "/healthz")
        assert json.loads(connection.getresponse().read())["status"] == "ok"
        connection.close()
        with IntakeConnection(room / "intake.sock") as intake:
            assert intake.ask({"op": "status", "id": "1"})["id"] == "1"
        assert agent.json("status")["pid"] == process.pid
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(STOP_S) == 0
        assert all((room / f"{name}.sock").exists() for name in names)
    finally:
        process.kill()
        process.wait()


def await_socket(path: Path) -> None:
    """Wait until somebody listens at ``path``; connecting would start the daemon."""
    deadline = time.monotonic() + STOP_S
    while not path.exists() or not is_listening(path):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_listening(path: Path) -> bool:
    """As the kernel says, without connecting."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return any(line.endswith(f" {path}") and " 00010000 " in line for line in lines)
