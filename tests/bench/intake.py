"""The intake: anchors verified and acknowledged durable, against the SDK's WAL and the bare disk.

The server is a process of its own with the real journal, as in the daemon. Producers send lines
that were built beforehand, so that they cost little beside it.
"""

import asyncio
import json
import multiprocessing
import os
import select
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from swt3_agent.daemon.service import SWITCH_INTERVAL_S
from swt3_agent.protocol.custody import CustodyEntry
from swt3_agent.protocol.fingerprint import mint_fingerprint
from swt3_agent.relay.intake import IntakeServer
from swt3_agent.relay.sink import Commit, Draft, StoredRecord
from swt3_agent.store.journal import Journal
from tests.bench.sdk import sdk_module
from tests.bench.table import Row

TENANT = "LOCAL"
BATCH = 500
CONNECTIONS = 8
_START_MS = 1_774_800_000_000


def anchor(number: int) -> dict[str, Any]:
    """An inference anchor of level 1, as the SDK sends them: 550 bytes."""
    timestamp_ms = _START_MS + number
    return {
        "procedure_id": "AI-INF.1",
        "factor_a": 1,
        "factor_b": 1,
        "factor_c": 0,
        "clearing_level": 1,
        "anchor_fingerprint": mint_fingerprint(TENANT, "AI-INF.1", 1, 1, 0, timestamp_ms),
        "anchor_epoch": timestamp_ms // 1000,
        "fingerprint_timestamp_ms": timestamp_ms,
        "ai_model_id": "meta-llama/Llama-3.1-70B-Instruct",
        "ai_prompt_hash": f"{number:016x}",
        "ai_response_hash": f"{number + 1:016x}",
        "ai_system_prompt_hash": "315f5bdb76d078c4",
        "ai_latency_ms": 1234,
        "ai_input_tokens": 1024,
        "ai_output_tokens": 256,
        "ai_context": {"provider": "vllm", "system_fingerprint": "fp_44709d6fcb"},
        "agent_id": "inference-node-07",
        "policy_version_hash": "0123456789ab",
        "jurisdiction": "EU",
    }


class _JournalSink:
    """The journal without its index: no client of this benchmark repeats a batch."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def append(
        self, drafts: Sequence[Draft], withheld: Sequence[CustodyEntry] = ()
    ) -> "Future[Commit]":
        assert not withheld, "these anchors are clear at the level of this benchmark"
        return cast("Future[Commit]", self._journal.append(drafts))

    def last_batch(self, tenant: str, client: str) -> int | None:
        return None

    def find_batch(self, tenant: str, client: str, batch: int) -> tuple[StoredRecord, ...]:
        return ()


def _serve(directory: str, ready: Connection) -> None:
    async def run() -> None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        with Journal.open(Path(directory) / "journal", Path(directory) / "keys") as journal:
            server = IntakeServer(
                Path(directory) / "intake.sock",
                _JournalSink(journal),
                tenant=TENANT,
                clearing_level=1,
            )
            await server.start()
            ready.send(True)
            await stopped.wait()
            await server.stop()

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    asyncio.run(run())


@dataclass
class Service:
    """The running server, and what it used of the processor."""

    path: Path
    pid: int

    def cpu_seconds(self) -> float:
        """User and system time of the whole process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def service() -> Iterator[Service]:
    """A server on a fresh journal, for the length of one measurement."""
    with tempfile.TemporaryDirectory() as directory:
        for name in ("journal", "keys"):
            (Path(directory) / name).mkdir(mode=0o700)
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(directory, theirs)
        )
        process.start()
        ours.recv()
        assert process.pid is not None
        try:
            yield Service(Path(directory) / "intake.sock", process.pid)
        finally:
            process.terminate()
            process.join()


class Producer:
    """A connection that keeps ``window`` requests unanswered, and asks again as clients do."""

    def __init__(self, path: Path, lines: list[bytes], window: int) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(path))
        self.socket.setblocking(False)
        self._waiting = deque(lines)
        self._unanswered: deque[tuple[bytes, float]] = deque()
        self._window = window
        self._out = memoryview(b"")
        self.latencies: list[float] = []

    @property
    def done(self) -> bool:
        return not self._unanswered and not self._waiting

    def advance(self) -> bool:
        """Send what may be sent; whether there is more that the socket would not take."""
        while True:
            if not self._out:
                if len(self._unanswered) >= self._window or not self._waiting:
                    return False
                line = self._waiting.popleft()
                self._out = memoryview(line)
                self._unanswered.append((line, time.perf_counter()))
            try:
                sent = self.socket.send(self._out)
            except BlockingIOError:
                return True
            self._out = self._out[sent:]

    def receive(self) -> None:
        """Take answers, which are short and come whole. Raises RuntimeError for a refusal."""
        for answer in self.socket.recv(65_536).splitlines():
            line, sent_at = self._unanswered.popleft()
            if b'"rejected":0' in answer:
                self.latencies.append(time.perf_counter() - sent_at)
            elif b'"retryable":true' in answer:
                self._waiting.appendleft(line)
            else:
                raise RuntimeError(f"the intake refused: {answer[:300]!r}")


def drive(producers: list[Producer]) -> float:
    """Run them to their end; seconds from the first byte to the last answer."""
    poll = select.epoll()
    by_descriptor = {producer.socket.fileno(): producer for producer in producers}
    started = time.perf_counter()
    for descriptor, producer in by_descriptor.items():
        poll.register(descriptor, _interest(producer.advance()))
    running = len(producers)
    while running:
        for descriptor, events in poll.poll():
            producer = by_descriptor[descriptor]
            if events & select.EPOLLIN:
                producer.receive()
            blocked = producer.advance()
            if producer.done:
                poll.unregister(descriptor)
                running -= 1
            else:
                poll.modify(descriptor, _interest(blocked))
    seconds = time.perf_counter() - started
    poll.close()
    for producer in producers:
        producer.socket.close()
    return seconds


def _interest(blocked: bool) -> int:
    return select.EPOLLIN | (select.EPOLLOUT if blocked else 0)


def request_lines(client: str, requests: int, records: int, first: int) -> list[bytes]:
    """``requests`` lines of ``records`` anchors each, all different."""
    lines = []
    for batch in range(requests):
        witnesses = [anchor(first + batch * records + place) for place in range(records)]
        request = {
            "op": "submit",
            "id": str(batch),
            "client": client,
            "batch": batch,
            "witnesses": witnesses,
        }
        lines.append(json.dumps(request, separators=(",", ":")).encode() + b"\n")
    return lines


@dataclass(frozen=True)
class Throughput:
    records: int
    seconds: float
    cpu_seconds: float
    p50_s: float

    @property
    def per_second(self) -> float:
        return self.records / self.seconds

    @property
    def per_core_second(self) -> float:
        return self.records / self.cpu_seconds


def measure(connections: int, requests: int, records: int, window: int) -> Throughput:
    """``connections`` producers, each with so many requests of so many records."""
    lines = [
        request_lines(f"bench-{index}", requests, records, index * requests * records)
        for index in range(connections)
    ]
    with service() as served:
        producers = [Producer(served.path, one, window) for one in lines]
        before = served.cpu_seconds()
        seconds = drive(producers)
        cpu = served.cpu_seconds() - before
    latencies = [latency for producer in producers for latency in producer.latencies]
    return Throughput(connections * requests * records, seconds, cpu, statistics.median(latencies))


def sdk_wal_synced(records: int) -> float:
    """Records a second of the SDK's write-ahead log, made as durable as ours."""
    payload_type = sdk_module("types").WitnessPayload
    known = payload_type.__dataclass_fields__
    anchors = (anchor(number) for number in range(records))
    payloads = [
        payload_type(**{name: value for name, value in one.items() if name in known})
        for one in anchors
    ]
    with tempfile.TemporaryDirectory() as directory:
        wal = sdk_module("wal").WriteAheadLog(TENANT, wal_dir=directory)
        descriptor = os.open(Path(directory) / f"{TENANT}.wal", os.O_WRONLY | os.O_CREAT, 0o600)
        started = time.perf_counter()
        for payload in payloads:
            wal.append(payload)
            os.fdatasync(descriptor)
        seconds = time.perf_counter() - started
        os.close(descriptor)
    return records / seconds


def bare_fdatasync(rounds: int) -> float:
    """Median seconds to overwrite a record's bytes in a preallocated file and sync them."""
    record = json.dumps(anchor(0)).encode()
    taken = []
    with tempfile.TemporaryFile() as file:
        file.write(bytes(16 * 1024 * 1024))
        file.flush()
        os.fsync(file.fileno())
        for place in range(rounds):
            started = time.perf_counter()
            os.pwrite(file.fileno(), record, place * 640 % (8 * 1024 * 1024))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def run() -> list[Row]:
    """All of it; the goals are those of the thread, the full ones come later."""
    wal = sdk_wal_synced(2_000)
    disk = bare_fdatasync(1_000)
    batches = measure(CONNECTIONS, 100, BATCH, window=2)
    one = measure(1, 2_000, 1, window=1)
    many = measure(64, 300, 1, window=1)
    return [
        Row(
            "8 connections, batches of 500, against the SDK's WAL with fdatasync",
            batches.per_second,
            wal,
            batches.per_second / wal,
            ">= 30",
            "records/s",
        ),
        Row("the same, per core", batches.per_core_second, None, None, "", "records/s"),
        Row(
            "one synchronous client, against a bare write and fdatasync",
            one.p50_s * 1e6,
            disk * 1e6,
            one.p50_s / disk,
            "<= 3",
            "us p50",
        ),
        Row(
            "64 synchronous clients, against the SDK's WAL with fdatasync",
            many.per_second,
            wal,
            many.per_second / wal,
            "",
            "records/s",
        ),
    ]
