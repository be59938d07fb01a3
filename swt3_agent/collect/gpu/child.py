"""Run one short-lived child at a time, bounded in time and output, and never wait for ever."""

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import IO

_TAIL = 2000  # bytes of standard error kept for the reader of a failure


class End(Enum):
    """How a run ended."""

    FINISHED = "finished"
    TIMED_OUT = "timed-out"
    TOO_MUCH_OUTPUT = "too-much-output"
    STILL_BLOCKED = "still-blocked"  # nothing was started: an earlier child cannot be ended


@dataclass(frozen=True, slots=True)
class ChildRun:
    """What a run left: its exit status (negative: the signal) and what it wrote."""

    end: End
    status: int = 0
    output: bytes = b""
    complaint: str = ""


class SingleChild:
    """Starts children one after the other, never a second one beside a first.

    A process that waits in the kernel for a device (state D) survives SIGKILL until the device
    answers. Starting another then would only block another: it is remembered instead, and every
    run says STILL_BLOCKED until it is gone.
    """

    def __init__(self, *, grace_s: float = 2.0) -> None:
        """``grace_s``: seconds that the child has to end after SIGTERM, and again after SIGKILL."""
        self._grace_s = grace_s
        self._blocked: subprocess.Popen[bytes] | None = None

    @property
    def blocked_pid(self) -> int | None:
        """The child that could not be ended and has not gone since."""
        if self._blocked is not None and self._blocked.poll() is not None:
            self._blocked = None
        return None if self._blocked is None else self._blocked.pid

    def run(
        self, command: Sequence[str], *, env: Mapping[str, str], timeout_s: float, max_output: int
    ) -> ChildRun:
        """Run ``command`` with exactly ``env``, in / and in a session of its own.

        Raises ``OSError`` when it cannot be started.
        """
        if self.blocked_pid is not None:
            return ChildRun(End.STILL_BLOCKED)
        process = subprocess.Popen(
            command,
            env=dict(env),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None  # noqa: S101 - narrows the type: both are pipes
        assert process.stderr is not None  # noqa: S101 - as above
        with process.stdout, process.stderr:
            pipes = _Pipes(process.stdout, process.stderr, max_output)
            end = self._follow(process, pipes, time.monotonic() + timeout_s)
        return ChildRun(
            end,
            status=process.returncode or 0,
            output=bytes(pipes.output),
            complaint=bytes(pipes.complaint).decode("utf-8", "replace").strip(),
        )

    def _follow(self, process: subprocess.Popen[bytes], pipes: "_Pipes", deadline: float) -> End:
        try:
            end = pipes.drain(deadline)
            if end is End.FINISHED:
                process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return End.TIMED_OUT
        finally:
            if process.poll() is None:
                self._end(process)
        return end

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        for stop in (process.terminate, process.kill):
            stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self._grace_s)
                return
        self._blocked = process


class _Pipes:
    """Standard output, all of it up to a bound, and the end of standard error."""

    def __init__(self, output: IO[bytes], complaint: IO[bytes], max_output: int) -> None:
        self._output = output.fileno()
        self._complaint = complaint.fileno()
        self._max_output = max_output
        self.output = bytearray()
        self.complaint = bytearray()

    def drain(self, deadline: float) -> End:
        """Read until standard output ends. A helper may hold standard error open much longer."""
        os.set_blocking(self._complaint, False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            selector.register(self._complaint, selectors.EVENT_READ)
            while (remaining := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(remaining):
                    if key.fd == self._complaint:
                        if not self._take_complaint():
                            selector.unregister(self._complaint)
                    elif not self._take_output():
                        self._take_complaint()  # what it wrote before it closed both
                        return End.FINISHED
                if len(self.output) > self._max_output:
                    return End.TOO_MUCH_OUTPUT
        return End.TIMED_OUT

    def _take_output(self) -> bool:
        chunk = os.read(self._output, 65536)
        self.output += chunk
        return bool(chunk)

    def _take_complaint(self) -> bool:
        try:
            chunk = os.read(self._complaint, 65536)
        except BlockingIOError:
            return True
        self.complaint = (self.complaint + chunk)[-_TAIL:]
        return bool(chunk)
