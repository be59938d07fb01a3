import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from swt3_agent.daemon.caller import Caller, caller
from swt3_agent.daemon.control import MAX_REQUEST_BYTES, OPERATORS, ControlServer, Operation, call
from swt3_agent.errors import AgentError, RemoteError, StateError, UsageError
from swt3_agent.relay.intake import listen


@contextmanager
def serving(path: Path, **operations: Operation) -> Iterator[asyncio.AbstractEventLoop]:
    """A control server in a thread of its own, for blocking calls from the test."""
    file = listen(path, OPERATORS)
    loop = asyncio.new_event_loop()
    server = ControlServer(file, operations)
    loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def refused(ask: Callable[[], object]) -> AgentError:
    with pytest.raises(AgentError) as caught:
        ask()
    return caught.value


def test_an_operation_gets_its_arguments_and_gives_its_result(tmp_path: Path) -> None:
    with serving(tmp_path / "c", add=lambda a, b: {"sum": a + b}):
        assert call(tmp_path / "c", "add", {"a": 1, "b": 2}, 10) == {"sum": 3}


def test_an_operation_knows_who_asks_as_the_kernel_says(tmp_path: Path) -> None:
    with serving(tmp_path / "c", who=lambda: caller().to_json()):
        own = Caller.of(os.geteuid(), os.getegid())
        assert call(tmp_path / "c", "who", {}, 10) == own.to_json()
    assert caller() == own
    nobody = 2**31
    assert Caller.of(nobody, nobody).to_json() == {"uid": nobody, "gid": nobody, "user": None}


def test_an_error_keeps_code_remedy_and_exit_code_across_the_socket(tmp_path: Path) -> None:
    def fail() -> None:
        raise UsageError("BAD_NONCE", "a nonce of 3 bytes", remedy="give more")

    with serving(tmp_path / "c", fail=fail):
        error = refused(lambda: call(tmp_path / "c", "fail", {}, 10))
    assert (error.code, error.message, error.remedy) == (
        "BAD_NONCE",
        "a nonce of 3 bytes",
        "give more",
    )
    assert error.exit_code == 2
    assert RemoteError("X", "x", remedy="x").exit_code == 1


@pytest.mark.filterwarnings("default")
def test_a_fault_in_an_operation_is_answered_and_the_server_lives_on(tmp_path: Path) -> None:
    with serving(tmp_path / "c", fault=lambda: 1 // 0, good=lambda: "still here"):
        assert refused(lambda: call(tmp_path / "c", "fault", {}, 10)).code == "INTERNAL"
        assert call(tmp_path / "c", "good", {}, 10) == "still here"


@pytest.mark.parametrize(
    "request_line",
    [
        b"{}\n",
        b"not json\n",
        b'{"op":"unknown"}\n',
        b'{"op":"good","args":7}\n',
        b"[" * 5000 + b"\n",
    ],
)
def test_what_is_no_request_is_refused(tmp_path: Path, request_line: bytes) -> None:
    with serving(tmp_path / "c", good=lambda: 1), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(tmp_path / "c"))
        connection.sendall(request_line)
        assert b"INVALID_REQUEST" in connection.recv(4096)


def test_an_oversized_request_ends_the_connection_and_nothing_else(tmp_path: Path) -> None:
    with serving(tmp_path / "c", good=lambda: 1):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(tmp_path / "c"))
            connection.sendall(b"x" * (MAX_REQUEST_BYTES + 2))
            assert connection.recv(1) == b""
        assert call(tmp_path / "c", "good", {}, 10) == 1


def test_a_slow_operation_holds_up_no_other(tmp_path: Path) -> None:
    release = threading.Event()
    with serving(tmp_path / "c", slow=lambda: release.wait(30), quick=lambda: "done"):
        waiting = threading.Thread(target=call, args=(tmp_path / "c", "slow", {}, 30))
        waiting.start()
        try:
            assert call(tmp_path / "c", "quick", {}, 10) == "done"
        finally:
            release.set()
            waiting.join(10)


def test_a_stop_sends_the_answer_under_way_and_ends_silent_connections(tmp_path: Path) -> None:
    heard, release = threading.Event(), threading.Event()

    def slow() -> str:
        heard.set()
        assert release.wait(30)
        return "in time"

    answers: list[object] = []
    asking = threading.Thread(
        target=lambda: answers.append(call(tmp_path / "c", "slow", {}, 30)), daemon=True
    )
    with socket.socket(socket.AF_UNIX) as silent:
        silent.settimeout(10)
        with serving(tmp_path / "c", slow=slow) as loop:
            silent.connect(str(tmp_path / "c"))
            asking.start()
            assert heard.wait(10)
            loop.call_soon_threadsafe(release.set)
        assert silent.recv(1) == b""
    asking.join(10)
    assert answers == ["in time"]
    assert not (tmp_path / "c").exists()


def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("mine")
    with pytest.raises(StateError) as caught, serving(tmp_path / "c"):
        pass
    assert caught.value.code == "SOCKET_NOT_OURS"
    assert (tmp_path / "c").read_text() == "mine"


def test_a_daemon_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refused(lambda: call(tmp_path / "c", "status", {}, 1)).code == "CONTROL_UNREACHABLE"


def test_a_daemon_that_does_not_answer_in_time_is_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "c"))
        silent.listen()
        assert refused(lambda: call(tmp_path / "c", "status", {}, 0.05)).code == "CONTROL_TIMEOUT"


def test_a_daemon_that_ends_before_it_answers_is_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "c"))
        server.listen()

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(1 << 16)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert refused(lambda: call(tmp_path / "c", "status", {}, 10)).code == "CONTROL_CLOSED"
        thread.join(10)


@pytest.mark.parametrize("turns", range(5))
def test_a_connection_that_is_just_accepted_is_closed_by_a_stop(tmp_path: Path, turns: int) -> None:
    async def run() -> None:
        with socket.socket(socket.AF_UNIX) as peer:
            server = ControlServer(listen(tmp_path / "c", OPERATORS), {})
            await server.start()
            peer.connect(str(tmp_path / "c"))
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.stop()
            peer.settimeout(5)
            with suppress(ConnectionResetError):  # it was not accepted at all
                assert peer.recv(1) == b""

    asyncio.run(run())


def test_a_socket_that_is_somebody_elses_keeps_its_file(tmp_path: Path) -> None:
    file = replace(listen(tmp_path / "c", OPERATORS), inode=0)  # as a service manager passes it
    loop = asyncio.new_event_loop()
    server = ControlServer(file, {})
    loop.run_until_complete(server.start())
    loop.run_until_complete(server.stop())
    loop.close()
    assert (tmp_path / "c").is_socket()
