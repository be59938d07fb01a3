"""The client's end of the intake socket (docs/formats.md, "Intake")."""

import json
import socket
from contextlib import suppress
from typing import Any

_CONNECT_TIMEOUT_S = 1.0
_ANSWER_TIMEOUT_S = 2.0
"""The agent answers within 0.05 s; one that takes this long is stalled."""
_LONGEST_ANSWER = 4 * 1024 * 1024


class AgentConnection:
    """Asks one question at a time, and connects when there is something to ask."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def ask(self, line: bytes, request_id: str) -> dict[str, Any]:
        """Send ``line`` and return its answer.

        Raises OSError where the agent is absent, stalled or does not speak the protocol; then the
        connection is closed, and the next question opens a new one.
        """
        try:
            connected = self._connected()
            connected.sendall(line)
            return _parsed(self._read_line(connected), request_id)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close if open."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                opened.settimeout(_CONNECT_TIMEOUT_S)
                opened.connect(self._path)
                opened.settimeout(_ANSWER_TIMEOUT_S)
            except BaseException:
                opened.close()
                raise
            self._socket = opened
        return self._socket

    @staticmethod
    def _read_line(connected: socket.socket) -> bytes:
        pieces = bytearray()
        while not pieces.endswith(b"\n"):
            piece = connected.recv(65_536)
            if not piece:
                raise ConnectionResetError("the agent closed the connection")
            pieces += piece
            if len(pieces) > _LONGEST_ANSWER:
                raise OSError("the agent's answer does not end")
        return bytes(pieces)


def _parsed(line: bytes, request_id: str) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise OSError(f"the agent's answer is not JSON: {error}") from error
    if not isinstance(answer, dict) or answer.get("id") != request_id:
        raise OSError("the agent's answer is to another request")
    return answer
