"""A software TPM (swtpm) in a process of our own, for demonstrations and tests.

It is never a root of trust: everything it signs is labelled so.
"""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path
from types import TracebackType

from swt3_agent.errors import TpmError

MAX_SOCKET_PATH = 107  # sizeof(sockaddr_un.sun_path) less the terminating zero
START_TIMEOUT_S = 20.0
SETUP_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 5.0

_STATE = "tpm2-00.permall"
_GET_CAPABILITY = struct.pack(">I", 1)  # swtpm control channel: CMD_GET_CAPABILITY
_TPM2_SHUTDOWN_CLEAR = bytes.fromhex("8001 0000000c 00000145 0000")


class SoftwareTpm:
    """A running swtpm. ``stop`` and a start in the same directory is a TPM reset: what is
    persistent stays, the PCRs are zero and resetCount has risen."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self._socket = _socket_path(directory)
        self._process = process

    @property
    def tcti(self) -> str:
        """The TCTI string that leads to it."""
        return f"swtpm:path={self._socket}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> "SoftwareTpm":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Shut the TPM down in order, end the process and reap it. Twice is once."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError):  # a TPM that hangs or serves another is just ended
                self._shut_down()
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_TIMEOUT_S)

    def _shut_down(self) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(STOP_TIMEOUT_S)
            connection.connect(str(self._socket))
            connection.sendall(_TPM2_SHUTDOWN_CLEAR)
            connection.recv(64)


def start_software_tpm(directory: Path) -> SoftwareTpm:
    """Start a software TPM whose state lives in ``directory``, made on first use.

    Returns when it answers. Raises TpmError: TPM_ABSENT when swtpm is not installed, TPM_BUSY
    when one runs in this directory already, TPM_FAILED when it does not come up.
    """
    directory = directory.absolute()
    _require_programs()
    control = _control_path(directory)
    if len(os.fsencode(control)) > MAX_SOCKET_PATH:
        raise TpmError(
            "TPM_FAILED",
            f"{control} is longer than the {MAX_SOCKET_PATH} bytes that a Unix socket may have",
            remedy="put the software TPM into a directory with a shorter path",
        )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _answers(control):
        raise TpmError(
            "TPM_BUSY",
            f"a software TPM runs in {directory} already",
            remedy="use that one, or end its process first",
        )
    if not (directory / _STATE).exists():
        _manufacture(directory)
    return _start(directory)


def _require_programs() -> None:
    for program in ("swtpm", "swtpm_setup"):
        if shutil.which(program) is None:
            raise TpmError(
                "TPM_ABSENT",
                f"there is no {program} for a software TPM",
                remedy="apt install swtpm swtpm-tools",
            )


def _socket_path(directory: Path) -> Path:
    return directory / "tpm.sock"


def _control_path(directory: Path) -> Path:
    return directory / "tpm.sock.ctrl"  # the TCTI looks for it under this very name


def _log_path(directory: Path) -> Path:
    return directory / "swtpm.log"


def _manufacture(directory: Path) -> None:
    """Write the state of a new TPM, its EK certificate signed by a CA of its own, so that no
    privilege is needed and nothing outside the directory is touched."""
    authority = directory / "ca"
    authority.mkdir(mode=0o700, exist_ok=True)
    tool = shutil.which("swtpm_localca") or "/usr/bin/swtpm_localca"
    (directory / "setup.conf").write_text(
        f"create_certs_tool = {tool}\n"
        f"create_certs_tool_config = {directory}/localca.conf\n"
        f"create_certs_tool_options = {directory}/localca.options\n"
    )
    (directory / "localca.conf").write_text(
        f"statedir = {authority}\n"
        f"signingkey = {authority}/signkey.pem\n"
        f"issuercert = {authority}/issuercert.pem\n"
        f"certserial = {authority}/certserial\n"
    )
    (directory / "localca.options").write_text(
        "--platform-manufacturer swt3-agent\n--platform-version 1\n--platform-model software-tpm\n"
    )
    unfinished = directory / "unfinished"  # so that a set-up cut short is not taken for a TPM
    unfinished.mkdir(mode=0o700, exist_ok=True)
    command = ["swtpm_setup", "--tpm2", "--tpmstate", str(unfinished)]
    command += ["--config", str(directory / "setup.conf")]
    command += ["--create-ek-cert", "--ecc", "--pcr-banks", "sha256", "--overwrite"]
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=SETUP_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _failed("swtpm_setup did not finish") from error
    if result.returncode:
        last_words = (result.stdout + result.stderr).decode(errors="replace").strip()
        raise _failed(f"swtpm_setup ended with {result.returncode}: {last_words[-500:]}")
    (unfinished / _STATE).replace(directory / _STATE)


def _start(directory: Path) -> SoftwareTpm:
    with _log_path(directory).open("ab") as output:
        process = subprocess.Popen(
            [
                *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={directory}"),
                *("--server", f"type=unixio,path={_socket_path(directory)}"),
                *("--ctrl", f"type=unixio,path={_control_path(directory)}"),
                *("--flags", "not-need-init,startup-clear"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the agent, which has a checkpoint to make yet
        )
    try:
        _await_answer(directory, process)
    except BaseException:
        process.kill()
        process.wait(STOP_TIMEOUT_S)
        raise
    return SoftwareTpm(directory, process)


def _await_answer(directory: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(_control_path(directory)):
        if process.poll() is not None or time.monotonic() > deadline:
            last_words = _log_path(directory).read_text(errors="replace").strip()[-500:]
            raise _failed(f"swtpm does not come up: {last_words}")
        time.sleep(0.005)


def _answers(control: Path) -> bool:
    """Whether a TPM serves behind this control socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(STOP_TIMEOUT_S)
        try:
            connection.connect(str(control))
            connection.sendall(_GET_CAPABILITY)
            return len(connection.recv(64)) > 0
        except OSError:
            return False


def _failed(message: str) -> TpmError:
    return TpmError(
        "TPM_FAILED", message, remedy="see that the directory is writable and its disk not full"
    )
