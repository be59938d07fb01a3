"""The probe as it runs: a process for a connection, asked by the client."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from swt3_agent.errors import RemoteError
from swt3_agent.probe.client import Probe
from swt3_agent.probe.wire import MAX_IMA_PART, MAX_LINE, Log
from tests.support.probe import NOBODY, PROBE, PROBE_TIMEOUT_S, serve_probe, write_log

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def probe_at(room: Path) -> Probe:
    return Probe(room / "socket", PROBE_TIMEOUT_S, environ={})


def code_of(ask: Callable[[], object]) -> str:
    with pytest.raises(RemoteError) as caught:
        ask()
    return caught.value.code


def test_it_answers_with_both_logs(room: Path) -> None:
    boot, ima = os.urandom(100_000), os.urandom(MAX_IMA_PART + 5000)
    write_log(room, Log.BOOT, boot)
    write_log(room, Log.IMA, ima)
    with serve_probe(room / "socket", room):
        assert probe_at(room).boot_log() == boot
        assert probe_at(room).ima_log() == ima
        assert probe_at(room).ima_log(1000) == ima[1000:]
        assert probe_at(room).ima_log(len(ima)) == b""
        assert code_of(lambda: probe_at(room).ima_log(len(ima) + 1)) == "LOG_SHORTER"


def test_a_machine_without_logs_says_so(room: Path) -> None:
    with serve_probe(room / "socket", room):
        assert code_of(probe_at(room).boot_log) == "LOG_ABSENT"
        assert code_of(probe_at(room).ima_log) == "LOG_ABSENT"


@pytest.mark.parametrize(
    "question", [b"GET / HTTP/1.1\r\n\r\n", b"\n", b"x" * (2 * MAX_LINE), b"swt3-probe/1 boot-log"]
)
def test_it_answers_nothing_else(room: Path, question: bytes) -> None:
    assert ask_process(room, question) == b"swt3-probe/1 lack PROBE_FAILED -\n"


def test_one_connection_is_one_question(room: Path) -> None:
    write_log(room, Log.BOOT, b"log")
    twice = 2 * b"swt3-probe/1 boot-log\n"
    assert ask_process(room, twice) == b"swt3-probe/1 lack PROBE_FAILED -\n"


def ask_process(room: Path, question: bytes) -> bytes:
    """What a probe says on its standard input, and that it then ends well."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            command = [*PROBE, "--root", str(room), "--client", str(os.geteuid())]
            process = subprocess.Popen(command, stdin=theirs.fileno())
        ours.settimeout(PROBE_TIMEOUT_S)
        ours.sendall(question)
        ours.shutdown(socket.SHUT_WR)
        answer = bytearray()
        try:
            while piece := ours.recv(4096):
                answer += piece
        except ConnectionResetError:  # it did not read all that we said
            pass
    assert process.wait(PROBE_TIMEOUT_S) == 0
    return bytes(answer)


def test_a_peer_that_says_nothing_does_not_keep_it(room: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen([*PROBE], stdin=theirs.fileno(), stderr=subprocess.DEVNULL)
        assert process.wait(PROBE_TIMEOUT_S) == 1


def test_without_a_connection_it_says_who_starts_it() -> None:
    done = subprocess.run(
        PROBE, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "service manager" in done.stderr


def test_what_runs_with_the_privilege_loads_the_standard_library_alone() -> None:
    program = """if True:
        import sys
        import swt3_agent.probe.__main__
        found = {name.partition(".")[0] for name in sys.modules}
        print(*(found - sys.stdlib_module_names))
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name for name in done.stdout.split() if not name.startswith("__editable__")}
    assert loaded <= {"swt3_agent", "__main__", "sitecustomize", "_distutils_hack"}


@needs_root
def test_a_peer_who_does_not_own_the_socket_is_refused(room: Path) -> None:
    write_log(room, Log.BOOT, b"log")
    room.chmod(0o755)
    with serve_probe(room / "socket", room):
        (room / "socket").chmod(0o666)  # as no unit has it
        assert ask_as_nobody(room) == "PROBE_DENIED"
        os.chown(room / "socket", NOBODY, -1)
        assert ask_as_nobody(room) == "log"
        assert probe_at(room).boot_log() == b"log"  # root could read it anyway


@needs_root
def test_one_who_was_named_is_answered(room: Path) -> None:
    write_log(room, Log.BOOT, b"log")
    room.chmod(0o755)
    with serve_probe(room / "socket", room, "--client", str(NOBODY)):
        (room / "socket").chmod(0o666)
        assert ask_as_nobody(room) == "log"


def ask_as_nobody(room: Path) -> str:
    """The boot log, or the code of the refusal, as another user gets it."""
    program = f"""if True:
        import os
        from pathlib import Path
        from swt3_agent.errors import RemoteError
        from swt3_agent.probe.client import Probe
        probe = Probe(Path({str(room / "socket")!r}), {PROBE_TIMEOUT_S}, environ={{}})
        os.setgroups([])
        os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
        os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
        try:
            print(probe.boot_log().decode())
        except RemoteError as error:
            print(error.code)
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


@needs_root
@pytest.mark.parametrize(("groups", "expected"), [([0], b"log"), ([], "LOG_DENIED")])
def test_the_group_of_the_logs_is_all_it_needs(
    room: Path, groups: list[int], expected: bytes | str
) -> None:
    """The kernel's modes: 0440, of root and its group (systemd/swt3-agent-probe@.service)."""
    if subprocess.run([*PROBE, "--help"], user=NOBODY, capture_output=True, check=False).returncode:
        pytest.skip("other users may not run this interpreter")
    write_log(room, Log.BOOT, b"log").chmod(0o440)
    room.chmod(0o755)
    with serve_probe(room / "socket", room, uid=NOBODY, groups=groups):
        if isinstance(expected, bytes):
            assert probe_at(room).boot_log() == expected
        else:
            assert code_of(probe_at(room).boot_log) == expected


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="systemd-socket-activate is not here"
)
def test_it_takes_the_connection_that_systemd_accepted(room: Path) -> None:
    write_log(room, Log.BOOT, b"log")
    command = [*PROBE, "--root", str(room), "--client", str(os.geteuid())]
    process = subprocess.Popen(
        ["systemd-socket-activate", "--accept", "-l", str(room / "socket"), *command],
        stderr=subprocess.DEVNULL,
    )
    try:
        assert first_answer(room) == b"log"
    finally:
        process.terminate()
        process.wait(PROBE_TIMEOUT_S)


def first_answer(room: Path) -> bytes:
    """The boot log once somebody listens."""
    deadline = time.monotonic() + PROBE_TIMEOUT_S
    while True:
        try:
            return probe_at(room).boot_log()
        except RemoteError as error:
            if error.code != "PROBE_ABSENT" or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
