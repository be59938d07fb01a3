"""HTTP/1.1 on a listening socket, in the daemon's own event loop.

uvicorn's protocol does the HTTP; what it leaves open is bounded here. A peer that sends or reads
slowly, that opens connections without end, or that sends more than was asked for costs a fixed
amount of memory and time, and harms none of the other peers.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from email.utils import formatdate
from typing import Any

from starlette.exceptions import HTTPException
from uvicorn.config import Config as UvicornConfig
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from swt3_agent.relay.intake import stop_accepting

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

BACKLOG = 128
MAX_HEADER_BYTES = 16 * 1024
MAX_CONNECTIONS = 64
"""Above it a request is answered 503; with twice as many open, a new one is closed at once."""
EXCHANGE_TIMEOUT_S = 30.0
"""A request must have come whole, and its answer be taken, within this time."""
KEEP_ALIVE_S = 5
PATIENCE_S = 3.0
"""How long a stop waits for answers under way."""

# Its warnings are about what peers sent, one a request: they would fill the log at will.
logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


class HttpServer:
    """Serves ``app`` (ASGI) on ``sock``, a listening Unix or TCP socket, and closes it at the end.

    ``app`` finds the peer's socket as ``scope["state"]["socket"]``; it has ``getsockopt``.
    A body over ``max_body_bytes`` is answered 413, however it is sent; 0 refuses every body.
    """

    def __init__(
        self,
        app: Application,
        sock: socket.socket,
        *,
        name: str,
        max_body_bytes: int = 0,
        max_connections: int = MAX_CONNECTIONS,
        exchange_timeout_s: float = EXCHANGE_TIMEOUT_S,
    ) -> None:
        self.name = name
        self._socket = sock
        self._config = UvicornConfig(
            bounded_body(app, max_body_bytes),
            http=_protocol(max_connections, exchange_timeout_s),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # whoever connects is whom the socket says
            limit_concurrency=max_connections,
            timeout_keep_alive=KEEP_ALIVE_S,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        )
        self._config.load()
        self._state = _State()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Serve what connects, and what connected since the socket listens."""
        self._socket.setblocking(False)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: self._config.http_protocol_class(
                config=self._config,  # type: ignore[call-arg]  # declared as any Protocol
                server_state=self._state,
                app_state={},
            ),
            sock=self._socket,
            backlog=BACKLOG,
        )

    async def stop(self) -> None:
        """Accept nothing more, let answers under way be sent, and close; bounded in time."""
        if self._server is None:
            return
        await stop_accepting(self._server)
        self._server = None
        for connection in list(self._state.connections):
            connection.shutdown()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._state.empty.wait(), PATIENCE_S)
        for connection in list(self._state.connections):
            connection.transport.abort()
        await self._state.empty.wait()
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE_S)


class _State(ServerState):
    """What the connections share; ``empty`` while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.empty = asyncio.Event()
        self.empty.set()


def _protocol(max_connections: int, exchange_timeout_s: float) -> type[H11Protocol]:
    """H11Protocol with these bounds: uvicorn makes its protocols itself."""

    class Bounded(_BoundedProtocol):
        most_connections = 2 * max_connections
        timeout_s = exchange_timeout_s

    return Bounded


class _BoundedProtocol(H11Protocol):
    """One connection, on which every exchange has a deadline."""

    server_state: _State
    most_connections: int
    timeout_s: float
    _deadline: asyncio.TimerHandle | None = None
    _idle = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base
        if len(self.connections) >= self.most_connections:
            transport.abort()
        super().connection_made(transport)
        self.server_state.empty.clear()
        self.app_state = {"socket": transport.get_extra_info("socket")}
        self._begin_exchange()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._unset_keepalive_if_required()  # the base leaves it where the peer reset
        super().connection_lost(exc)
        if not self.connections:
            self.server_state.empty.set()

    def data_received(self, data: bytes) -> None:
        if self._idle:
            self._begin_exchange()
        # No main loop of uvicorn's runs here, which would keep the date of the answers.
        date = formatdate(usegmt=True).encode("ascii")
        self.server_state.default_headers = [(b"date", date)]
        super().data_received(data)

    def on_response_complete(self) -> None:
        # The peer must take it, too: the deadline runs on until the next request begins.
        self._begin_exchange()
        self._idle = True
        super().on_response_complete()

    def _begin_exchange(self) -> None:
        self._idle = False
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(self.timeout_s, self.transport.abort)


def bounded_body(app: Application, max_bytes: int) -> Application:
    """``app`` that never sees more than ``max_bytes`` of a body.

    It finds HTTPException 413 where it reads more, which Starlette turns into an answer.
    """

    async def bounded(scope: Scope, receive: Receive, send: Send) -> None:
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise HTTPException(413, headers={"connection": "close"})
            return message

        if _declared_length(scope) > max_bytes:
            await _send_too_large(send)
        else:
            await app(scope, receive_bounded, send)

    return bounded


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)  # h11 has refused what is no number
    return 0


async def _send_too_large(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"error":"the body is too large"}'})
