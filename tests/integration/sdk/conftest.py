"""The unmodified public SDK, run by a Python that is new enough for it (scripts/sdk-python)."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.agent import AgentProcess

PROGRAMS = Path(__file__).with_name("programs")
TOKEN = "axm_local_0123456789"


@pytest.fixture
def sdk(sdk_python: str) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts one of the programs beside this file; none is left behind."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sdk_python, str(PROGRAMS / f"{program}.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:  # closes its pipes, and waits
            process.kill()


def configured_agent(root: Path, **settings: object) -> tuple[AgentProcess, str]:
    """An agent that also serves HTTP on TCP, not started yet, and its endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    token = root / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    file = root / "agent.yaml"
    http = {"port": port, "token_file": str(token)}
    file.write_text(json.dumps({**settings, "agent": {"http": http}}))  # YAML, too
    agent = AgentProcess(root, arguments=("--config", str(file)))
    return agent, f"http://127.0.0.1:{port}"
