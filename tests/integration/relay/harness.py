"""An intake server in a loop of its own, and a peer that speaks to it byte by byte."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swt3_agent.relay.intake import IntakeServer
from swt3_agent.relay.limits import IntakeLimits

TENANT = "LOCAL"
PATIENCE_S = 20.0


PATIENT_S = 1.0
"""For an answer: on a machine that does much else, the product's 40 ms pass before a commit."""


class RunningIntake:
    """The server's loop runs in a thread, as it does beside the rest of a daemon."""

    def __init__(self, server: IntakeServer) -> None:
        self.server = server
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self.call(self.server.start())

    def call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE_S)

    def stop(self) -> None:
        self.call(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the intake's loop does not end"
        self.loop.close()


@contextmanager
def serving(path: Path, sink: Any, **options: Any) -> Iterator[RunningIntake]:
    options.setdefault("tenant", TENANT)
    options.setdefault("clearing_level", 3)
    options.setdefault("limits", IntakeLimits(answer_within_s=PATIENT_S))
    running = RunningIntake(IntakeServer(path, sink, **options))
    running.start()
    try:
        yield running
    finally:
        running.stop()


class Peer:
    """A raw connection. Reads are bounded by a timeout, so that a hang fails the test."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(str(path))
        self._answers = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_request(self, request: dict[str, Any]) -> None:
        self.send(json.dumps(request).encode() + b"\n")

    def answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        assert line.endswith(b"\n"), f"no whole answer: {line!r}"
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self.send_request(request)
        return self.answer()

    def is_closed_by_server(self) -> bool:
        try:
            return self._answers.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._answers.close()
        self.socket.close()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
