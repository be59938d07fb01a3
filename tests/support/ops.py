"""The ops socket of a daemon, asked over HTTP."""

import json
import socket
import time
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from tests.support.agent import AgentProcess

DEADLINE_S = 20.0


class UnixHTTPConnection(HTTPConnection):
    """An HTTP client of a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("agent", timeout=DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(str(self._path))


class Ops:
    """Asks the ops socket of an agent."""

    def __init__(self, agent: AgentProcess) -> None:
        self.path = agent.root / "intake.sock.ops"
        if not self.path.exists():
            self.path = agent.root / "ops.sock"

    def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, HTTPResponse, bytes]:
        connection = UnixHTTPConnection(self.path)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer, answer.read()
        finally:
            connection.close()

    def json(self, path: str) -> tuple[int, dict[str, Any]]:
        status, _, body = self.ask(path)
        return status, json.loads(body)

    def await_reasons(self, wanted: set[str]) -> dict[str, Any]:
        """/readyz once it names exactly these reasons."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            status, view = self.json("/readyz")
            assert view["ready"] == (status == 200) == (not view["reasons"])
            if {reason["code"] for reason in view["reasons"]} == wanted:
                return view
            assert time.monotonic() < deadline, view
            time.sleep(0.05)

    def await_any(self, prefix: str) -> dict[str, Any]:
        """The first reason of /readyz whose code begins with ``prefix``, once there is one."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            _, view = self.json("/readyz")
            for reason in view["reasons"]:
                if reason["code"].startswith(prefix):
                    found: dict[str, Any] = reason
                    return found
            assert time.monotonic() < deadline, view
            time.sleep(0.05)


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
