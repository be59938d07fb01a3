"""What emit() costs the inference thread, whatever state the agent is in.

Beside it: the cheapest thing that an SDK with a blocking queue does, which wakes its thread.
"""

import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swt3_agent.client import Client, ClientSettings
from tests.bench.intake import service
from tests.bench.table import Row

ROUNDS = 20_000
BURST = 20
PAUSE_S = 0.001
"""A server that answers a batch of requests emits their anchors, then waits for its accelerator."""


@dataclass(frozen=True)
class Latency:
    """Seconds of one call, the clock's own cost included."""

    p50: float
    p99: float


def measured(call: Callable[[], object]) -> Latency:
    """``ROUNDS`` calls in bursts, with pauses in which other threads may run."""
    clock = time.perf_counter
    taken = []
    for number in range(ROUNDS):
        if number % BURST == 0:
            time.sleep(PAUSE_S)
        started = clock()
        call()
        taken.append(clock() - started)
    taken.sort()
    return Latency(*(taken[int(len(taken) * part)] for part in (0.5, 0.99)))


def with_agent(state: str) -> Latency:
    """``state``: up, stalled (SIGSTOP) or dead (no socket)."""
    if state == "dead":
        return _emitting(Path("/nonexistent/intake.sock"))
    with service() as served:
        if state == "stalled":
            os.kill(served.pid, signal.SIGSTOP)
        try:
            return _emitting(served.path)
        finally:
            os.kill(served.pid, signal.SIGCONT)


def _emitting(path: Path) -> Latency:
    client = Client(ClientSettings(socket=str(path), clearing_level=1))
    emit = client.emit
    latency = measured(
        lambda: emit(
            "AI-INF.1",
            1,
            1,
            0,
            model_id="llama",
            prompt_hash="315f5bdb76d078c4",
            response_hash="315f5bdb76d078c4",
            latency_ms=12,
        )
    )
    client.close(0.1)
    return latency


def simple_queue() -> Latency:
    """A queue whose consumer sleeps until it is woken."""
    waiting: queue.SimpleQueue[tuple[object, ...] | None] = queue.SimpleQueue()

    def consume() -> None:
        while waiting.get() is not None:
            pass

    consumer = threading.Thread(target=consume)
    consumer.start()
    latency = measured(lambda: waiting.put((time.time_ns(), "AI-INF.1", 1, 1, 0)))
    waiting.put(None)
    consumer.join()
    return latency


def run() -> list[Row]:
    """p50 and p99 beside the queue's; the goals are absolute, in microseconds."""
    kept: deque[tuple[object, ...]] = deque()
    idle = measured(lambda: None)
    peer = simple_queue()
    floor = measured(lambda: kept.append((time.time_ns(), "AI-INF.1", 1, 1, 0)))
    rows = [
        Row(f"a bare tuple on a deque, {part}", (cost - idle.p50) * 1e6, None, None, "", "us")
        for part, cost in (("p50", floor.p50), ("p99", floor.p99))
    ]
    for state in ("up", "stalled", "dead"):
        ours = with_agent(state)
        for part, goal in (("p50", "<= 0.5"), ("p99", "<= 2")):
            cost, peers = (getattr(one, part) - idle.p50 for one in (ours, peer))
            rows += [
                Row(f"emit(), agent {state}, {part}", cost * 1e6, None, None, goal, "us"),
                Row(
                    f"emit(), agent {state}, {part}, against a queue's put",
                    cost * 1e6,
                    peers * 1e6,
                    cost / peers,
                    "",
                    "us",
                ),
            ]
    return rows
