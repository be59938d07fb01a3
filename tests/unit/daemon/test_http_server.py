"""HTTP on a socket: peers that are slow, many or greedy cost a bounded amount, and harm nobody."""

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from swt3_agent.daemon import http_server
from swt3_agent.daemon.http_server import Application, HttpServer, Receive, Scope, Send

GET = b"GET / HTTP/1.1\r\nHost: agent\r\n\r\n"
LONG_S = 20.0


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """200 with the length of the body."""
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


def serving(
    directory: Path,
    talk: Callable[[Path], Awaitable[None]],
    app: Application = answer,
    **bounds: float,
) -> None:
    """Run ``talk`` beside a server of ``app``."""

    async def main() -> None:
        path = directory / "http.sock"
        sock = listening(path)
        server = HttpServer(app, sock, name="test", **bounds)  # type: ignore[arg-type]  # by name
        await server.start()
        try:
            await asyncio.wait_for(talk(path), LONG_S)
        finally:
            await server.stop()

    asyncio.run(main())


def listening(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen()
    return sock


async def exchange(path: Path, request: bytes) -> bytes:
    """All that comes back until the server closes."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(request)
    received = await reader.read()
    writer.close()
    return received


def closing(request: bytes) -> bytes:
    return request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def test_serves_and_stops_again_and_again_in_one_loop(tmp_path: Path) -> None:
    async def main() -> None:
        for _ in range(5):
            sock = listening(tmp_path / "http.sock")
            server = HttpServer(answer, sock, name="test")
            await server.start()
            received = await exchange(tmp_path / "http.sock", closing(GET))
            assert received.startswith(b"HTTP/1.1 200")
            await server.stop()
            assert sock.fileno() == -1

    asyncio.run(main())


def test_answers_what_connected_before_it_served(tmp_path: Path) -> None:
    async def main() -> None:
        sock = listening(tmp_path / "http.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as early:
            early.connect(str(tmp_path / "http.sock"))
            early.sendall(GET)
            server = HttpServer(answer, sock, name="test")
            await server.start()
            early.settimeout(LONG_S)
            assert (await asyncio.to_thread(early.recv, 4096)).startswith(b"HTTP/1.1 200")
            await server.stop()

    asyncio.run(main())


def test_names_no_server_but_the_date(tmp_path: Path) -> None:
    async def talk(path: Path) -> None:
        head = (await exchange(path, closing(GET))).partition(b"\r\n\r\n")[0].lower()
        assert b"\r\nserver:" not in head
        assert b"\r\ndate:" in head

    serving(tmp_path, talk)


def test_serves_over_tcp(tmp_path: Path) -> None:
    async def main() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        server = HttpServer(answer, sock, name="test")
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(closing(GET))
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        await server.stop()

    asyncio.run(main())


@pytest.mark.parametrize(
    "request_so_far",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: a",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
    ],
    ids=["nothing", "half a head", "half a body"],
)
def test_does_not_wait_for_ever_for_a_request(tmp_path: Path, request_so_far: bytes) -> None:
    async def talk(path: Path) -> None:
        with pytest.raises((ConnectionResetError, AssertionError)):
            assert await exchange(path, request_so_far)

    serving(tmp_path, talk, exchange_timeout_s=0.2, max_body_bytes=100)


def test_a_dripping_head_does_not_push_its_deadline(tmp_path: Path) -> None:
    async def talk(path: Path) -> None:
        _, writer = await asyncio.open_unix_connection(str(path))

        async def drip() -> None:
            while True:
                writer.write(b"X")
                await writer.drain()
                await asyncio.sleep(0.01)

        with pytest.raises(ConnectionError):
            await drip()
        writer.close()

    serving(tmp_path, talk, exchange_timeout_s=0.2)


def test_does_not_keep_an_answer_that_nobody_takes(tmp_path: Path) -> None:
    cut_off = asyncio.Event()

    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        cut_off.set()

    async def talk(path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(str(path))
            peer.sendall(GET)
            await cut_off.wait()

    serving(tmp_path, talk, flood, exchange_timeout_s=0.2)


def test_refuses_an_oversized_head(tmp_path: Path) -> None:
    async def talk(path: Path) -> None:
        head = GET[:-2] + b"X: " + b"x" * (2 * http_server.MAX_HEADER_BYTES)  # and no end
        assert (await exchange(path, head)).startswith(b"HTTP/1.1 400")

    serving(tmp_path, talk)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 11", b"x" * 11),
        (b"Transfer-Encoding: chunked", b"6\r\nxxxxxx\r\n5\r\nxxxxx\r\n0\r\n\r\n"),
    ],
    ids=["declared", "chunked"],
)
def test_refuses_a_body_over_its_bound(tmp_path: Path, head: bytes, body: bytes) -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def read(request: Request) -> Response:
        return Response(await request.body())

    app = Starlette(routes=[Route("/", read, methods=["POST"])])

    async def talk(path: Path) -> None:
        request = b"POST / HTTP/1.1\r\nHost: agent\r\n" + head + b"\r\n\r\n" + body
        assert (await exchange(path, request)).startswith(b"HTTP/1.1 413")

    serving(tmp_path, talk, app, max_body_bytes=10)


def test_refuses_politely_above_its_connections_and_closes_far_above(tmp_path: Path) -> None:
    async def talk(path: Path) -> None:
        idle = [await asyncio.open_unix_connection(str(path)) for _ in range(3)]
        assert (await exchange(path, closing(GET))).startswith(b"HTTP/1.1 503")
        idle.append(await asyncio.open_unix_connection(str(path)))
        refused, closed = await asyncio.open_unix_connection(str(path))
        with pytest.raises((ConnectionResetError, AssertionError)):
            assert await refused.read()
        closed.close()
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()
        while not (await exchange(path, closing(GET))).startswith(b"HTTP/1.1 200"):
            pass

    serving(tmp_path, talk, max_connections=2)


def test_keeps_a_connection_for_the_next_request(tmp_path: Path) -> None:
    async def talk(path: Path) -> None:
        reader, writer = await asyncio.open_unix_connection(str(path))
        for _ in range(3):
            writer.write(GET)
            assert (await reader.readuntil(b"\r\n0\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()

    serving(tmp_path, talk)


def test_stops_within_its_patience_although_an_answer_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "PATIENCE_S", 0.1)
    ended = []

    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def talk(path: Path) -> None:
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.write(GET)
        await writer.drain()
        writer.close()

    serving(tmp_path, talk, hang)
    assert len(ended) <= 1  # it may not have been started


def test_tells_the_application_who_connected(tmp_path: Path) -> None:
    async def who(scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope["state"]["socket"].getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": peer.hex().encode()})

    async def talk(path: Path) -> None:
        import os
        import struct

        mine = struct.pack("3i", os.getpid(), os.getuid(), os.getgid()).hex().encode()
        assert mine in await exchange(path, closing(GET))

    serving(tmp_path, talk, who)


CLOSING = GET[:-2] + b"Connection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "answers"),
    [
        (GET + GET + CLOSING, [b"200 OK"] * 3),
        (CLOSING.replace(b"GET", b"HEAD"), [b"200 OK"]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [b"400 Bad Request"]),
        (GET[:-2] + b"Content-Length: -1\r\n\r\n", [b"400 Bad Request"]),
        (GET[:-2] + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", [b"400 Bad Request"]),
        (GET[:-2] + b"Transfer-Encoding: gzip\r\n\r\n", [b"400 Bad Request"]),
    ],
    ids=["pipelined", "head", "tls", "negative length", "two lengths", "unknown coding"],
)
def test_answers_each_request_once_and_only_what_is_http(
    tmp_path: Path, request_bytes: bytes, answers: list[bytes]
) -> None:
    async def talk(path: Path) -> None:
        told = await exchange(path, request_bytes)
        assert re.findall(rb"HTTP/1.1 (\d{3} [\w ]+)", told) == answers
        if request_bytes.startswith(b"HEAD"):
            assert told.count(b"\r\n\r\n") == 1
            assert told.endswith(b"\r\n\r\n")

    serving(tmp_path, talk)


def test_a_client_that_asks_first_sends_its_body_after_the_answer(tmp_path: Path) -> None:
    async def talk(path: Path) -> None:
        reader, writer = await asyncio.open_unix_connection(str(path))
        try:
            head = CLOSING.replace(b"GET", b"POST")[:-2] + b"Content-Length: 3\r\n"
            writer.write(head + b"Expect: 100-continue\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
            writer.write(b"abc")
            assert b"\r\n3\r\n" in await reader.read()
        finally:
            writer.close()

    serving(tmp_path, talk, max_body_bytes=10)


@pytest.mark.parametrize("turns", range(5))
def test_a_connection_that_is_just_accepted_is_closed_by_a_stop(tmp_path: Path, turns: int) -> None:
    async def run() -> None:
        with socket.socket(socket.AF_UNIX) as peer:
            server = HttpServer(answer, listening(tmp_path / "s"), name="test")
            await server.start()
            peer.connect(str(tmp_path / "s"))
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.stop()
            peer.settimeout(5)
            with contextlib.suppress(ConnectionResetError):  # it was not accepted at all
                assert peer.recv(1) == b""

    asyncio.run(run())
