"""Probe: the agent's end of the helper that reads the kernel's boot and IMA logs.

What comes back is bytes that somebody handed over: only a replay against quoted registers makes
them evidence.
"""

import errno
import os
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from swt3_agent.errors import RemoteError
from swt3_agent.probe.wire import (
    MAX_BOOT_LOG,
    MAX_LINE,
    Data,
    Lack,
    Lacking,
    Log,
    Question,
    parse_answer,
    question_line,
)

BOOT_LOG_CREDENTIAL = "tpm-eventlog"
"""The boot log as the service manager read it before it started the agent."""
NO_BOOT_LOG = b"absent"
"""What the service manager says there where the kernel has none (systemd/swt3-agent.service)."""
MAX_IMA_LOG = 64 * 1024 * 1024
"""Bytes that one call takes: a log that is longer is refused, since a part of it proves nothing."""
DEFAULT_TIMEOUT_S = 15.0

_PIECE = 256 * 1024
_START = "systemctl enable --now swt3-agent-probe.socket; agent.probe.socket names its socket"


class Probe:
    """Asks the helper behind ``socket_path``; each question is a connection, and a process there.

    Its calls take ``timeout`` seconds at most and may be made from any thread.
    """

    def __init__(
        self,
        socket_path: Path | None,
        timeout: float = DEFAULT_TIMEOUT_S,
        *,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """``socket_path`` None: there is no helper, only what the service manager read."""
        self._path = socket_path
        self._timeout = timeout
        credentials = environ.get("CREDENTIALS_DIRECTORY")
        self._credential = Path(credentials) / BOOT_LOG_CREDENTIAL if credentials else None

    def boot_log(self) -> bytes:
        """The firmware's and loader's log of this boot (TCG PC Client PFP, "Event Logging").

        Where the helper has none, the one that came as the credential ``tpm-eventlog``. Raises
        RemoteError as :meth:`ima_log`.
        """
        try:
            return self._ask(Question(Log.BOOT), self._deadline())[0]
        except RemoteError:
            from_credential = self._read_credential()
            if from_credential is None:
                raise
            return from_credential

    def ima_log(self, offset: int = 0) -> bytes:
        """IMA's measurements since the boot, from byte ``offset`` on: they only ever grow.

        Raises RemoteError: PROBE_ABSENT, PROBE_DENIED, PROBE_BUSY and PROBE_FAILED of the helper;
        LOG_ABSENT, LOG_DENIED, LOG_BUSY and LOG_FAILED of the log; LOG_TOO_LARGE where there is
        more than one call takes, LOG_SHORTER where the log ends before ``offset``: it is another
        boot's.
        """
        deadline = self._deadline()
        log = bytearray()
        while True:
            part, total = self._ask(Question(Log.IMA, offset + len(log)), deadline)
            log += part
            if len(log) > MAX_IMA_LOG:
                raise _lacking(Lack(Lacking.LOG_TOO_LARGE))
            if total is not None:
                return bytes(log)

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout

    def _ask(self, question: Question, deadline: float) -> tuple[bytes, int | None]:
        """The data that answer ``question``, and the log's size where that is known."""
        try:
            with closing(self._connected(deadline)) as connection:
                connection.sendall(question_line(question))
                return _read_answer(connection, question, deadline)
        except TimeoutError as error:
            raise _failed(f"it did not answer within {self._timeout:g} s") from error
        except OSError as error:
            raise _failed(error.strerror or str(error)) from error

    def _connected(self, deadline: float) -> socket.socket:
        if self._path is None:
            raise _absent("no probe is configured")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_left(deadline))
            connection.connect(str(self._path))
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError):
                raise _unreached(self._path, error) from error
            raise
        return connection

    def _read_credential(self) -> bytes | None:
        """The boot log of the credential; None where there is none, or none worth the name."""
        if self._credential is None:
            return None
        try:
            with self._credential.open("rb") as stream:
                log = stream.read(MAX_BOOT_LOG + 1)
        except OSError:
            return None
        return log if log not in (b"", NO_BOOT_LOG) and len(log) <= MAX_BOOT_LOG else None


def _read_answer(
    connection: socket.socket, question: Question, deadline: float
) -> tuple[bytes, int | None]:
    received = bytearray()
    while (end := received.find(b"\n") + 1) == 0:
        if len(received) >= MAX_LINE:
            raise _failed("its answer is none")
        received += _receive(connection, MAX_LINE - len(received), deadline)
    answer = parse_answer(bytes(received[:end]), question)
    if answer is None:
        raise _failed("its answer is none")
    if isinstance(answer, Lack):
        raise _lacking(answer)
    del received[:end]
    while len(received) < answer.size:
        received += _receive(connection, min(_PIECE, answer.size - len(received)), deadline)
    _expect_end(connection, received, answer, deadline)
    return bytes(received), answer.total


def _receive(connection: socket.socket, most: int, deadline: float) -> bytes:
    connection.settimeout(_left(deadline))
    piece = connection.recv(most)
    if not piece:
        raise _failed("it broke off its answer")
    return piece


def _expect_end(
    connection: socket.socket, received: bytearray, answer: Data, deadline: float
) -> None:
    connection.settimeout(_left(deadline))
    if len(received) > answer.size or connection.recv(1):
        raise _failed("it sent more than it announced")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _absent(message: str) -> RemoteError:
    return RemoteError("PROBE_ABSENT", message, remedy=_START)


def _failed(why: str) -> RemoteError:
    return RemoteError(
        "PROBE_FAILED",
        f"the probe failed: {why}",
        remedy="journalctl -u 'swt3-agent-probe@*'",
    )


def _unreached(path: Path, error: OSError) -> RemoteError:
    """Nobody answers at ``path``, for the reason that ``error`` gives."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED):
        return _absent(f"no probe listens at {path}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return RemoteError(
            "PROBE_DENIED",
            f"{path} may not be used by uid {os.geteuid()}",
            remedy="SocketUser= of swt3-agent-probe.socket is whom it answers",
        )
    if isinstance(error, TimeoutError) or error.errno == errno.EAGAIN:
        return RemoteError(
            "PROBE_BUSY", f"{path} takes no connection", remedy="it is tried again at the next run"
        )
    return _failed(error.strerror or str(error))


def _lacking(lack: Lack) -> RemoteError:
    message, remedy = _LACKS[lack.code]
    if lack.detail != "-":
        message = f"{message} ({lack.detail})"
    return RemoteError(lack.code.value, message, remedy=remedy)


_LACKS: Mapping[Lacking, tuple[str, str]] = {
    Lacking.LOG_ABSENT: (
        "the kernel keeps no such log",
        "boot with a TPM and, for the IMA log, with an IMA policy (docs/operations.md, Probe)",
    ),
    Lacking.LOG_DENIED: (
        "the probe may not read the log",
        "compare swt3-agent-probe@.service with the one that was shipped; ask SELinux or AppArmor",
    ),
    Lacking.LOG_BUSY: ("the kernel's log is in use", "it is tried again at the next run"),
    Lacking.LOG_FAILED: ("the kernel's log cannot be read", "see the kernel's messages: dmesg"),
    Lacking.LOG_TOO_LARGE: (
        "the log is longer than is taken",
        "measure less: a policy like the one that is shipped (docs/operations.md, IMA policy)",
    ),
    Lacking.LOG_SHORTER: (
        "the log ends before the place from which it was asked for",
        "read it from its beginning: it is another boot's",
    ),
    Lacking.PROBE_DENIED: (
        "the probe does not answer this user",
        "SocketUser= of swt3-agent-probe.socket is whom it answers",
    ),
    Lacking.PROBE_FAILED: (
        "the probe did not understand the question",
        "install agent and probe of one version",
    ),
}
