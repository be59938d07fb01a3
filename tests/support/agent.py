"""A real daemon in a process of its own, and the command line beside it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.anchors import submission_of

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
CLI_TIMEOUT_S = 120.0
_TRIES = 100


class AgentProcess:
    """`swt3-agent run` over a private directory; readiness is what it tells its service manager."""

    def __init__(
        self,
        root: Path,
        tcti: str = "none",
        *,
        arguments: Sequence[str] = (),
        wrapper: Sequence[str] = (),
        **environment: str,
    ) -> None:
        """``arguments`` are those of `run`; ``wrapper`` are words before every command."""
        self.root = root
        self.log = root / "agent.log"  # a file: a pipe that nobody reads would stop the daemon
        self.state_dir = root / "state"
        self.intake = root / "intake.sock"
        self.messages: list[str] = []
        self.stdout: int | None = None  # where the daemon's standard output goes; None: where ours
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("SWT3_")},
            "SWT3_STATE_DIR": str(self.state_dir),
            "SWT3_AGENT_SOCKET": str(self.intake),
            "SWT3_TPM_TCTI": tcti,
            **environment,
        }
        self._arguments = arguments
        self._wrapper = wrapper
        self._process: subprocess.Popen[bytes] | None = None
        self._notify: socket.socket | None = None

    def start(self) -> "AgentProcess":
        """Start the daemon and wait until it says READY=1."""
        self.messages = []
        address = self.root / "notify.sock"
        address.unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(address))
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command("run", *self._arguments),
                env={**self.environment, "NOTIFY_SOCKET": str(address)},
                stdout=self.stdout,
                stderr=log,
            )
        try:
            self.await_message("READY=1")
        except BaseException:
            self.kill()
            raise
        return self

    def await_message(self, wanted: str) -> None:
        """Wait until the daemon has told its service manager ``wanted``."""
        assert self._notify is not None
        assert self._process is not None
        self._notify.settimeout(0.5)
        for _ in range(round(READY_TIMEOUT_S / 0.5)):
            if any(wanted in message for message in self.messages):
                return
            try:
                self.messages.append(self._notify.recv(4096).decode())
            except TimeoutError:
                if self._process.poll() is not None:
                    break
        log = self.log.read_text()
        raise AssertionError(f"{wanted} was never said; exit {self._process.poll()}; log: {log}")

    def await_open_file(self, path: Path) -> None:
        """Wait until the daemon has ``path`` open."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                    if descriptor.readlink() == path:
                        return
            time.sleep(0.005)
        raise AssertionError(f"{path} was never opened")

    def await_log(self, wanted: str) -> None:
        """Wait until the daemon's log has ``wanted``."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while wanted not in self.log.read_text():
            assert time.monotonic() < deadline, f"{wanted!r} was never logged"
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: what a crash or the OOM killer does."""
        self._end(signal.SIGKILL)

    def stop(self) -> tuple[int, str]:
        """SIGTERM, as the service manager stops it; exit code and log."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> tuple[int, str]:
        assert self._process is not None
        assert self._notify is not None
        process, self._process = self._process, None
        self._notify.close()
        process.send_signal(number)
        try:
            code = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)
            raise
        return code, self.log.read_text()

    def __enter__(self) -> "AgentProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.stop()

    def terminate(self) -> None:
        """SIGTERM without waiting for the end."""
        assert self._process is not None
        self._process.terminate()

    def command(self, *arguments: str) -> list[str]:
        """A verb of the command line as a program to start."""
        return [*self._wrapper, sys.executable, "-m", "swt3_agent", *arguments]

    def cli(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a verb of the command line in the same environment."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=CLI_TIMEOUT_S,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """Run a verb with ``--json`` and parse what it prints."""
        done = self.cli(*arguments, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def records(self) -> list[dict[str, Any]]:
        """Every record of the log, as `log --json` prints them."""
        done = self.cli("log", "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def submit(self, batch: int, *witnesses: dict[str, Any]) -> dict[str, Any]:
        """Hand the anchors in on a connection of their own; the answer."""
        with IntakeConnection(self.intake) as intake:
            return intake.ask(submission_of(*witnesses, batch=batch))


class IntakeConnection:
    """A raw connection to the intake: lines out, lines in."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(30)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self._answers = self.socket.makefile("rb")

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one request and wait for its answer; again where the disk was too slow to say."""
        return self.ask_line(json.dumps(request).encode())

    def ask_line(self, line: bytes) -> dict[str, Any]:
        """The same with a request that was spelled out."""
        for _ in range(_TRIES):
            self.socket.sendall(line + b"\n")
            answer = self.read_answer()
            if answer.get("code") != "OUTCOME_UNKNOWN":
                break
        return answer

    def read_answer(self) -> dict[str, Any]:
        """The next answer; EOFError when the daemon has closed the connection."""
        line = self._answers.readline()
        if not line:
            raise EOFError
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> "IntakeConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self.socket.close()
