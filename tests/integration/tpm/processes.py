"""Processes that are killed, frozen and waited for."""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from swt3_agent.tpm import messages
from swt3_agent.tpm.client import Tpm
from swt3_agent.tpm.software import SoftwareTpm


def process_of(tpm: Tpm) -> int:
    assert tpm.process_id is not None
    return tpm.process_id


def kill_and_wait(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)


def wait_for_end(pid: int, timeout_s: float = 20.0) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ready, _, _ = select.select([descriptor], [], [], timeout_s)
    os.close(descriptor)
    assert ready, f"process {pid} lives on"


@contextmanager
def frozen(swtpm: SoftwareTpm) -> Iterator[None]:
    os.kill(swtpm.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(swtpm.pid, signal.SIGCONT)


@contextmanager
def while_waiting_for_an_answer(act: Callable[[], None]) -> Iterator[None]:
    """Run ``act`` beside the body, once its thread has sent a request and reads the answer."""
    reader = threading.get_ident()

    done = threading.Event()

    def watch() -> None:
        while not _is_reading(reader):
            if done.wait(0.002):
                return
        act()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join(30)


def _is_reading(thread: int) -> bool:
    frame = sys._current_frames()[thread]  # documented, if not beautiful
    while frame.f_back is not None:
        if frame.f_code is messages.receive_frame.__code__:
            return True
        frame = frame.f_back
    return False
