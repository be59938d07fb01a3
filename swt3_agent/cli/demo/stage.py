"""What the demo runs on: a TPM, and the real daemon in a process and directory of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swt3_agent.config import DEFAULT_STATE_DIR, NO_TPM
from swt3_agent.errors import RemoteError, TpmError, UsageError
from swt3_agent.tpm.software import MAX_SOCKET_PATH, start_software_tpm

MACHINE_TPM = Path("/dev/tpmrm0")
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
VERB_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class DemoTpm:
    """Which TPM signs in this demo, and why that one."""

    tcti: str
    why: str


@contextmanager
def demo_tpm(directory: Path, environ: Mapping[str, str] = os.environ) -> Iterator[DemoTpm]:
    """The TPM that SWT3_TPM_TCTI names; else the machine's own, else a software TPM in
    ``directory`` for as long as the demo runs.

    Where none can be had, or none is wanted, the demo goes on without: heads are unsigned.
    """
    wanted = environ.get("SWT3_TPM_TCTI", "")
    if wanted and not wanted.startswith("device:"):  # one that no agent of this machine uses
        yield DemoTpm(wanted, f"SWT3_TPM_TCTI={wanted}")
        return
    device = Path(wanted.removeprefix("device:")) if wanted else MACHINE_TPM
    lack = machine_tpm_lack(device, Path(environ.get("SWT3_STATE_DIR") or DEFAULT_STATE_DIR))
    if lack is None:
        yield DemoTpm(f"device:{device}", f"the machine's own, {device}")
        return
    try:
        software = start_software_tpm(directory)
    except TpmError as error:
        yield DemoTpm(NO_TPM, f"none: {lack}, and {error} ({error.remedy})")
        return
    with software:
        yield DemoTpm(software.tcti, f"a SOFTWARE TPM, no root of trust: {lack}")


def check_directory(directory: Path) -> None:
    """Raise UsageError where sockets cannot have names below ``directory``: unix(7) allows 107
    bytes, and a program that learns it in the middle of its work says something less clear."""
    longest = directory / "tpm" / "tpm.sock.ctrl"
    if len(os.fsencode(longest)) > MAX_SOCKET_PATH:
        raise UsageError(
            "DIRECTORY_TOO_LONG",
            f"{directory} is too long a name: no socket path may have over {MAX_SOCKET_PATH} bytes",
            remedy="name one nearer to the root, or set TMPDIR to one",
        )


def machine_tpm_lack(device: Path = MACHINE_TPM, state_dir: Path = DEFAULT_STATE_DIR) -> str | None:
    """Why the machine's own TPM may not be used; None when it may."""
    if not device.exists():
        return f"this machine has no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"this user may not use {device} (group tss may)"
    if state_dir.exists():
        return f"an agent lives in {state_dir}, whose chain of heads a demo must not extend"
    return None


class DemoAgent:
    """`swt3-agent run` as its own process, asked through the same command line as any other."""

    def __init__(self, directory: Path, tcti: str, settings: dict[str, Any]) -> None:
        """``settings`` are those below ``agent:`` that this demo wants beside its own."""
        self.directory = directory
        self.config = directory / "agent.yaml"
        intake = directory / "intake.sock"
        agent = {
            "state_dir": str(directory / "state"),
            "socket": str(intake),
            "tpm": {"tcti": tcti},
            **settings,
        }
        self.config.write_text(json.dumps({"agent": agent}, indent=2) + "\n")  # JSON is YAML
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SWT3_")}
        self.environment = {**kept, "SWT3_AGENT_SOCKET": str(intake)}  # the client reads no file
        self.log = directory / "agent.log"

    @contextmanager
    def running(self) -> Iterator["DemoAgent"]:
        """Start the daemon, wait until it says it is ready, and stop it as systemd would."""
        notify = self.directory / "notify.sock"
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as messages,
            self.log.open("wb") as log,
        ):
            messages.bind(str(notify))
            daemon = subprocess.Popen(
                self._command("run", "--config", str(self.config)),
                env={**self.environment, "NOTIFY_SOCKET": str(notify)},
                cwd=self.directory,  # ours alone: Python looks for modules there
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
            try:
                self._await_ready(messages, daemon)
                yield self
            finally:
                daemon.send_signal(signal.SIGTERM)
                try:
                    daemon.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()

    def _await_ready(self, messages: socket.socket, daemon: subprocess.Popen[bytes]) -> None:
        messages.settimeout(1.0)
        for _ in range(round(READY_TIMEOUT_S)):
            try:
                if b"READY=1" in messages.recv(4096):
                    return
            except TimeoutError:
                if daemon.poll() is not None:
                    break
        raise RemoteError(
            "DEMO_NOT_READY",
            f"the daemon did not come up (exit code {daemon.poll()})",
            remedy=f"see {self.log}",
        )

    def verb(self, name: str, *arguments: str, timeout_s: float = VERB_TIMEOUT_S) -> Any:
        """Run a verb with ``--json`` and return what it printed; its errors become ours."""
        command = self._command(name, *arguments, "--config", str(self.config), "--json")
        done = self._run(command, timeout_s)
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            answer = {"error": {"code": "DEMO", "message": done.stderr, "remedy": "report it"}}
        if isinstance(answer, dict) and "error" in answer:
            error = answer["error"]
            raise RemoteError(error["code"], error["message"], remedy=error["remedy"])
        return answer

    def run(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a verb as a user would."""
        return self._run(self._command(name, *arguments))

    def run_module(self, module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a program of the demo beside the daemon."""
        return self._run([sys.executable, "-m", module, *arguments])

    def _run(
        self, command: list[str], timeout_s: float = VERB_TIMEOUT_S
    ) -> "subprocess.CompletedProcess[str]":
        try:
            return subprocess.run(
                command,
                env=self.environment,
                cwd=self.directory,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RemoteError(
                "DEMO_TIMEOUT",
                f"{' '.join(command[2:4])} was not done within {timeout_s:g} s",
                remedy=f"see {self.log}",
            ) from error

    def _command(self, name: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "swt3_agent", name, *arguments]
