"""The probe itself: one connection, one question, one answer, and the end of the process.

systemd accepts the connection and starts a process for it (``Accept=yes``). It answers the user to
whom the socket belongs, and root, who could read the logs anyway.
"""

import argparse
import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from swt3_agent.probe.logs import read_log
from swt3_agent.probe.wire import (
    MAX_LINE,
    Data,
    Lack,
    Lacking,
    answer_line,
    parse_question,
)

DEADLINE_S = 20
"""The process is killed then, whatever it waits for."""
QUESTION_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 15.0

_FIRST_PASSED = 3  # sd_listen_fds(3)
_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the connection that was inherited; 0 once it was answered, refusals included."""
    signal.alarm(DEADLINE_S)
    options = _options(arguments)
    connection = _inherited(os.environ)
    if connection is None:
        print("swt3-agent-probe: a service manager starts this, for a connection", file=sys.stderr)
        return 2
    with connection:
        try:
            _serve(connection, options.root, options.client)
        except OSError as error:  # the peer is gone, or says nothing
            print(f"swt3-agent-probe: {error}", file=sys.stderr)
            return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="swt3-agent-probe", description=__doc__)
    parser.add_argument(
        "--client", type=int, metavar="UID", help="answer this user, not the socket's owner"
    )
    parser.add_argument(
        "--root", type=Path, default=Path("/"), help="where sys/kernel/security lies"
    )
    return parser.parse_args(arguments)


def _inherited(environ: Mapping[str, str]) -> socket.socket | None:
    """The connection that was passed by number, else as standard input."""
    passed = environ.get("LISTEN_PID") == str(os.getpid()) and environ.get("LISTEN_FDS") == "1"
    try:
        return socket.socket(fileno=_FIRST_PASSED if passed else sys.stdin.fileno())
    except (OSError, ValueError):
        return None


def _serve(connection: socket.socket, root: Path, client: int | None) -> None:
    """Answer what the peer asks. Raises OSError where the peer does not take it."""
    connection.settimeout(QUESTION_TIMEOUT_S)
    line = _read_line(connection)  # from anybody: who is refused reads why only after he has sent
    refused = _refuse_peer(connection, client)
    if refused is not None:
        return _send(connection, refused)
    question = parse_question(line)
    if question is None:
        return _send(connection, Lack(Lacking.PROBE_FAILED))
    found = read_log(question, root)
    if isinstance(found, Lack):
        return _send(connection, found)
    data, total = found
    return _send(connection, Data(len(data), total), data)


def _refuse_peer(connection: socket.socket, client: int | None) -> Lack | None:
    """A lack for every user but the one whom this answers, and root. Raises OSError."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    if client is None:
        path = connection.getsockname()  # empty or bytes where the socket is no file
        client = Path(path).stat().st_uid if path and isinstance(path, str) else 0
    if uid in (client, 0):
        return None
    print(f"swt3-agent-probe: uid {uid} was refused", file=sys.stderr)
    return Lack(Lacking.PROBE_DENIED)


def _read_line(connection: socket.socket) -> bytes:
    """Up to the first line feed, the peer's end or ``MAX_LINE`` bytes. Raises OSError."""
    line = b""
    while len(line) < MAX_LINE and not line.endswith(b"\n"):
        piece = connection.recv(MAX_LINE - len(line))
        if not piece:
            break
        line += piece
    return line


def _send(connection: socket.socket, answer: Data | Lack, data: bytes = b"") -> None:
    connection.settimeout(ANSWER_TIMEOUT_S)
    connection.sendall(answer_line(answer))
    if data:
        connection.sendall(data)
