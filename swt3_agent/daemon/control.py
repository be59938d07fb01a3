"""The control socket: the command line asks the running daemon for what only it can do.

One request a line, one answer a line, JSON. The socket is the operators' own: its directory and
mode decide who may ask, and it never carries what inference processes send (relay/intake.py).
"""

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swt3_agent.daemon.caller import PEER
from swt3_agent.errors import AgentError, RemoteError
from swt3_agent.relay.intake import Listener, stop_accepting
from swt3_agent.relay.origin import peer_of
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)

Operation = Callable[..., Any]

MAX_REQUEST_BYTES = 256 * 1024  # a receipts file of 64 KiB, with escapes
MAX_ANSWER_BYTES = 64 * 1024 * 1024
OPERATORS = "swt3"
"""The group that may ask. Never the clients': an inference process has no questions to ask."""
PATIENCE_S = 5.0
"""How long a stop waits for answers under way."""


class ControlServer:
    """Serves ``operations`` by name; each runs in a worker thread, so none stops the others."""

    def __init__(self, file: Listener, operations: Mapping[str, Operation]) -> None:
        self._file = file
        self._operations = operations
        self._server: asyncio.Server | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def start(self) -> None:
        """Answer what asks, and what asked since the socket listens."""
        # Not start_unix_server: from Python 3.13 on that removes the file, which may be systemd's.
        self._server = await asyncio.start_server(
            self._serve, sock=self._file.socket, limit=MAX_REQUEST_BYTES
        )

    async def stop(self) -> None:
        """Stop listening, remove the socket, and close once the answers under way are sent."""
        if self._server is None:
            return
        self._file.remove_file()
        await stop_accepting(self._server)
        if self._answering:
            await asyncio.wait(self._answering, timeout=PATIENCE_S)
        handlers = [task for task in self._connections.values() if task is not None]
        for writer in self._connections:
            writer.transport.abort()
        if handlers:
            await asyncio.wait(handlers, timeout=PATIENCE_S)
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = asyncio.current_task()
        try:
            PEER.set(_user_of(writer))  # of this connection's task, and of the threads it starts
            while line := await reader.readline():
                task = asyncio.create_task(self._respond(line, writer))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
                await task
        except ValueError:
            logger.warning(
                "control request dropped: too long %s",
                fields(Event.CONTROL_REFUSED, limit=MAX_REQUEST_BYTES),
            )
        except ConnectionError:
            logger.info("control connection lost")
        finally:
            del self._connections[writer]
            writer.close()

    async def _respond(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
        await writer.drain()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            operation = self._operations[request["op"]]
            arguments = dict(request.get("args", {}))
        except (ValueError, KeyError, TypeError, RecursionError):
            return _failure("INVALID_REQUEST", "no such control request", "use `swt3-agent`", 1)
        try:
            return {"ok": True, "result": await asyncio.to_thread(operation, **arguments)}
        except AgentError as error:
            return _failure(error.code, error.message, error.remedy, error.exit_code)
        except Exception as error:
            logger.exception(
                "control request failed %s", fields(Event.INTERNAL_FAULT, op=request["op"])
            )
            return _failure("INTERNAL", f"{type(error).__name__}: {error}", "see the log", 1)


def _user_of(writer: asyncio.StreamWriter) -> tuple[int, int] | None:
    """User and group id at the other end. Raises ConnectionError where it is gone already."""
    try:
        peer = peer_of(writer.get_extra_info("socket"))
    except OSError as error:
        raise ConnectionError(str(error)) from error
    assert peer.uid is not None  # noqa: S101  a Unix socket has one
    assert peer.gid is not None  # noqa: S101
    return peer.uid, peer.gid


def _failure(code: str, message: str, remedy: str, exit_code: int) -> dict[str, Any]:
    error = {"code": code, "message": message, "remedy": remedy, "exit_code": exit_code}
    return {"ok": False, "error": error}


def call(path: Path, operation: str, arguments: Mapping[str, Any], timeout_s: float) -> Any:
    """Ask the daemon that listens at ``path``.

    Raises RemoteError when it cannot be reached, or with the error that it answered.
    """
    request = json.dumps({"op": operation, "args": dict(arguments)}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(request)
            with connection.makefile("rb") as answers:
                line = answers.readline(MAX_ANSWER_BYTES)
    except PermissionError as error:
        raise RemoteError(
            "CONTROL_DENIED",
            f"{path} may not be used by this user",
            remedy=f"run it as the agent's user, or as one in the group {OPERATORS}",
        ) from error
    except TimeoutError as error:
        raise RemoteError(
            "CONTROL_TIMEOUT",
            f"the daemon did not answer within {timeout_s:g} s",
            remedy="look at its log: `journalctl -u swt3-agent`",
        ) from error
    except OSError as error:
        raise RemoteError(
            "CONTROL_UNREACHABLE",
            f"{path} does not answer: {error.strerror}",
            remedy="is the daemon of this state directory running?",
        ) from error
    if not line.endswith(b"\n"):
        raise RemoteError(
            "CONTROL_CLOSED", "the daemon ended before it answered", remedy="see its log"
        )
    answer = json.loads(line)
    if answer["ok"]:
        return answer["result"]
    raise _remote_error(answer["error"])


def _remote_error(error: Mapping[str, Any]) -> AgentError:
    raised = RemoteError(error["code"], error["message"], remedy=error["remedy"])
    raised.exit_code = error["exit_code"]  # type: ignore[misc]  # the daemon's own class decides
    return raised
