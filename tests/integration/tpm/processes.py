"""Processes that are killed, frozen and waited for."""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager

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
