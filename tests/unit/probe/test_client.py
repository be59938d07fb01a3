"""The client against helpers that are away, slow, broken or hostile."""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from swt3_agent.errors import RemoteError
from swt3_agent.probe import client
from swt3_agent.probe.client import BOOT_LOG_CREDENTIAL, NO_BOOT_LOG, Probe
from swt3_agent.probe.wire import Lacking
from tests.support.probe import accepting, listening

TIMEOUT_S = 20.0
Talk = Callable[[socket.socket], None]


def answering(path: Path, talk: Talk) -> AbstractContextManager[None]:
    """A helper that reads a question and then does ``talk``, for every connection."""

    def serve(connection: socket.socket) -> None:
        connection.recv(256)
        talk(connection)

    return accepting(path, serve)


def code_of(ask: Callable[[], object]) -> str:
    """The code of the refusal."""
    with pytest.raises(RemoteError) as caught:
        ask()
    assert caught.value.remedy
    return caught.value.code


def saying(answer: bytes) -> Talk:
    return lambda connection: connection.sendall(answer)


def test_no_probe_is_absent(room: Path) -> None:
    assert code_of(Probe(None, environ={}).boot_log) == "PROBE_ABSENT"
    assert code_of(Probe(room / "none", environ={}).ima_log) == "PROBE_ABSENT"
    with listening(room / "socket"):
        pass  # its file stays
    assert code_of(Probe(room / "socket", environ={}).boot_log) == "PROBE_ABSENT"


@pytest.mark.permissions
def test_a_socket_that_is_not_ours_is_denied(room: Path) -> None:
    with listening(room / "socket"):
        (room / "socket").chmod(0)
        assert code_of(Probe(room / "socket", environ={}).ima_log) == "PROBE_DENIED"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"swt3-probe/1 data 5 5",
        b"swt3-probe/1 data 5 5\n1234",
        b"swt3-probe/1 data 5 5\n123456",
        b"swt3-probe/1 data 5 7\n12345",
        b"swt3-probe/1 data 99999999999 99999999999\n",
        b"swt3-probe/1 lack NOTHING -\n",
        b"x" * 100_000,
    ],
)
def test_an_answer_that_is_none_is_a_failure(room: Path, answer: bytes) -> None:
    with answering(room / "socket", saying(answer)):
        probe = Probe(room / "socket", TIMEOUT_S, environ={})
        assert code_of(probe.ima_log) == "PROBE_FAILED"
        assert code_of(probe.boot_log) == "PROBE_FAILED"


def test_a_helper_that_is_silent_is_left(room: Path) -> None:
    over = threading.Event()

    def wait(_: socket.socket) -> None:
        over.wait(TIMEOUT_S)

    with answering(room / "socket", wait):
        assert code_of(Probe(room / "socket", 0.1, environ={}).ima_log) == "PROBE_FAILED"
        over.set()


def test_one_that_trickles_is_left_too(room: Path) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"swt3-probe/1 data 100000 100000\n")
        while True:
            connection.sendall(b"1")
            threading.Event().wait(0.01)

    with answering(room / "socket", trickle):
        assert code_of(Probe(room / "socket", 0.3, environ={}).ima_log) == "PROBE_FAILED"


def test_a_log_without_end_is_refused(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_IMA_LOG", 1000)
    part = b"swt3-probe/1 data 400 -\n" + bytes(400)
    with answering(room / "socket", saying(part)):
        probe = Probe(room / "socket", TIMEOUT_S, environ={})
        assert code_of(probe.ima_log) == "LOG_TOO_LARGE"


@pytest.mark.parametrize("lack", Lacking)
def test_every_lack_has_words(room: Path, lack: Lacking) -> None:
    with answering(room / "socket", saying(f"swt3-probe/1 lack {lack.value} EIO\n".encode())):
        probe = Probe(room / "socket", TIMEOUT_S, environ={})
        assert code_of(probe.ima_log) == lack.value


def test_the_boot_log_comes_as_a_credential_where_no_probe_has_it(room: Path) -> None:
    (room / BOOT_LOG_CREDENTIAL).write_bytes(b"log")
    environ = {"CREDENTIALS_DIRECTORY": str(room)}
    assert Probe(None, environ=environ).boot_log() == b"log"
    with answering(room / "socket", saying(b"swt3-probe/1 lack LOG_DENIED EACCES\n")):
        assert Probe(room / "socket", environ=environ).boot_log() == b"log"
    with answering(room / "socket", saying(b"swt3-probe/1 data 3 3\nnew")):
        assert Probe(room / "socket", environ=environ).boot_log() == b"new"


def test_the_ima_log_never_does(room: Path) -> None:
    (room / BOOT_LOG_CREDENTIAL).write_bytes(b"log")
    environ = {"CREDENTIALS_DIRECTORY": str(room)}
    assert code_of(Probe(None, environ=environ).ima_log) == "PROBE_ABSENT"


def test_a_credential_that_is_no_log_is_none(room: Path) -> None:
    (room / BOOT_LOG_CREDENTIAL).write_bytes(NO_BOOT_LOG)
    environ = {"CREDENTIALS_DIRECTORY": str(room)}
    assert code_of(Probe(None, environ=environ).boot_log) == "PROBE_ABSENT"
    os.truncate(room / BOOT_LOG_CREDENTIAL, 16 * 1024 * 1024 + 1)
    assert code_of(Probe(None, environ=environ).boot_log) == "PROBE_ABSENT"
