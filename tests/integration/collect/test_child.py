"""Real children that finish, hang, ignore signals, flood, and cannot be ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swt3_agent.collect.gpu.child import ChildRun, End, SingleChild

LONG_S = 30.0
SHORT_S = 0.3


def run(child: SingleChild, code: str, *, timeout_s: float = LONG_S) -> ChildRun:
    return child.run(
        [sys.executable, "-I", "-c", code],
        env={"ONLY": "this"},
        timeout_s=timeout_s,
        max_output=100_000,
    )


def test_what_it_wrote_and_how_it_ended_comes_back() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    assert run(SingleChild(), code) == ChildRun(End.FINISHED, 3, b"out\n", "err")


def test_it_has_only_the_environment_that_it_was_given() -> None:
    found = run(SingleChild(), "import os; print(sorted(os.environ), os.getcwd(), os.getsid(0))")
    environment, directory, session = found.output.decode().rsplit(maxsplit=2)
    assert "ONLY" in environment
    assert "PATH" not in environment
    assert directory == "/"
    assert int(session) != os.getsid(0)


def test_one_that_takes_too_long_is_ended_and_reaped() -> None:
    child = SingleChild()
    found = run(child, "import time; time.sleep(3600)", timeout_s=SHORT_S)
    assert (found.end, found.status) == (End.TIMED_OUT, -signal.SIGTERM)
    assert child.blocked_pid is None


def test_one_that_ignores_the_polite_signal_is_killed() -> None:
    code = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "while True: print('x' * 65536)"
    )
    child = SingleChild(grace_s=0.2)
    found = run(child, code)
    assert (found.end, found.status) == (End.TOO_MUCH_OUTPUT, -signal.SIGKILL)
    assert child.blocked_pid is None


def test_one_that_closes_its_output_and_stays_is_ended_too() -> None:
    code = "import os, time; os.close(1); time.sleep(3600)"
    assert run(SingleChild(), code, timeout_s=1.0).end is End.TIMED_OUT


@pytest.mark.parametrize(
    ("stream", "timeout_s", "end"),
    [("stdout", LONG_S, End.TOO_MUCH_OUTPUT), ("stderr", SHORT_S, End.TIMED_OUT)],
)
def test_one_that_floods_is_bounded(stream: str, timeout_s: float, end: End) -> None:
    code = f"import sys\nwhile True: sys.{stream}.write('x' * 65536)"
    found = run(SingleChild(), code, timeout_s=timeout_s)
    assert found.end is end
    assert len(found.output) <= 100_000 + 65536
    assert len(found.complaint) <= 2000


def test_a_helper_that_keeps_standard_error_open_is_not_waited_for() -> None:
    code = (
        "import subprocess, sys; "
        "print(subprocess.Popen(['sleep', '3600'], stdout=subprocess.DEVNULL).pid)"
    )
    found = run(SingleChild(), code)
    helper = int(found.output)
    try:
        assert (found.end, found.status) == (End.FINISHED, 0)
    finally:
        os.kill(helper, signal.SIGKILL)


def test_a_program_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SingleChild().run([str(tmp_path / "none")], env={}, timeout_s=1, max_output=1)


# Seizes the process whose id the FIFO brings, says whether it may, and holds it until told to end.
TRACER = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
PTRACE_SEIZE = 0x4206
answer = "no" if libc.ptrace(PTRACE_SEIZE, int(open({request!r}).read()), None, None) else "yes"
print(answer, flush=True)
open({reply!r}, "w").write(answer)
sys.stdin.read()
"""

# Lets any process of its user trace it, waits until one does, and then asks to be ended.
TRACED = """
import ctypes, os
PR_SET_PTRACER, ANY = 0x59616D61, ctypes.c_ulong(-1)
ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY, 0, 0, 0)
with open({request!r}, "w") as request: request.write(str(os.getpid()))
open({reply!r}).read()
while True: print("x" * 65536)
"""


def test_no_second_child_is_started_beside_one_that_cannot_be_ended(tmp_path: Path) -> None:
    """As with a device that never answers, the child outlives SIGKILL: a traced process stays,
    for its parent, until its tracer has taken notice of its end."""
    fifos = {"request": str(tmp_path / "request"), "reply": str(tmp_path / "reply")}
    for fifo in fifos.values():
        os.mkfifo(fifo)
    child = SingleChild(grace_s=0.2)
    with subprocess.Popen(
        [sys.executable, "-I", "-c", TRACER.format(**fifos)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tracer:
        first = run(child, TRACED.format(**fifos))
        assert tracer.stdout is not None
        if tracer.stdout.readline() != "yes\n":
            pytest.skip("this system lets no process trace another")
        assert first.end is End.TOO_MUCH_OUTPUT
        blocked = child.blocked_pid
        assert blocked is not None
        assert run(child, "print('never')") == ChildRun(End.STILL_BLOCKED)
        assert child.blocked_pid == blocked
    os.waitid(os.P_PID, blocked, os.WEXITED | os.WNOWAIT)  # the tracer is gone: now it ends
    assert run(child, "print('again')").output == b"again\n"
