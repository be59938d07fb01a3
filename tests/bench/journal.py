"""The journal: records acknowledged durable, hashed and sealed, against the SDK's WAL and the disk.

The journal gets batches of 500 from 8 threads, as the intake gives them. The public SDK's WAL gets
the same anchors one by one with an fdatasync each, which is its work at our durability.
"""

import json
import os
import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.store.segment_file import SEGMENT_RECORDS
from tests.bench.sdk import sdk_module
from tests.bench.table import Row

PRODUCERS = 8
BATCH = 500
RECORDS = 4 * SEGMENT_RECORDS
WAL_RECORDS = 4000
SYNCHRONOUS = 3000
WRITE = 600  # bytes of a bare write: about a frame
START_MS = 1_774_800_000_000


def anchor(number: int) -> dict[str, object]:
    """An inference anchor as it is relayed at level 3: 545 bytes, of which 22 are random."""
    timestamp_ms = START_MS + 37 * number
    return {
        "procedure_id": "AI-INF.1",
        "factor_a": 1,
        "factor_b": 1,
        "factor_c": 0,
        "clearing_level": 3,
        "anchor_fingerprint": secrets.token_hex(6),
        "anchor_epoch": timestamp_ms // 1000,
        "fingerprint_timestamp_ms": timestamp_ms,
        "ai_model_id": "0f6b04241d237297",
        "ai_prompt_hash": secrets.token_hex(8),
        "ai_response_hash": secrets.token_hex(8),
        "ai_system_prompt_hash": "315f5bdb76d078c4",
        "ai_latency_ms": 800 + number * 7919 % 700,
        "agent_id": "inference-node-07",
        "cycle_id": "2026-11-22T21:00:00Z/0007",
        "policy_version_hash": "0123456789ab",
        "jurisdiction": "EU",
        "legal_basis": "legitimate-interest",
        "purpose_class": "inference",
    }


def batches(count: int) -> list[list[Draft]]:
    """Batches with the provenance that the intake writes."""
    made = []
    for batch in range(count):
        provenance = json.dumps(
            {
                "agent": "inference-node-07",
                "applied_level": 3,
                "batch": batch,
                "cgroup": "/system.slice/vllm.service",
                "client": "0f8fad5b-d9cb-469f-a165-70867728950e",
                "declared_level": 3,
                "gid": 1000,
                "listener": "intake",
                "pid": 4242,
                "start": 8_312_771,
                "tenant": "LOCAL",
                "uid": 1000,
            },
            separators=(",", ":"),
        ).encode()
        payloads = (
            json.dumps(anchor(batch * BATCH + index), separators=(",", ":")).encode()
            for index in range(BATCH)
        )
        made.append([Draft(Kind.RELAYED, provenance, payload) for payload in payloads])
    return made


@contextmanager
def open_journal(*, catalogue: bool) -> Iterator[tuple[Path, Journal]]:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd())))
        for name in ("journal", "keys"):
            (root / name).mkdir()
        journal = stack.enter_context(Journal.open(root / "journal", root / "keys"))
        if catalogue:
            stack.enter_context(Catalogue.open(root / "catalogue.db", journal))
        yield root, journal


def produce(journal: Journal, work: list[list[Draft]]) -> None:
    """Every batch acknowledged, each producer waiting for its last before it sends the next."""
    waiting = iter(work)
    lock = threading.Lock()

    def producer() -> None:
        while True:
            with lock:
                batch = next(waiting, None)
            if batch is None:
                return
            journal.append(batch).result()

    threads = [threading.Thread(target=producer) for _ in range(PRODUCERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def wal_records_per_second() -> float:
    """The SDK's WAL with an fdatasync for each record."""
    payload = sdk_module("types").WitnessPayload
    payloads = [payload(**anchor(number)) for number in range(WAL_RECORDS)]
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        wal = sdk_module("wal").WriteAheadLog("BENCH", wal_dir=directory)
        wal.append(payloads[0])
        fd = os.open(Path(directory) / "BENCH.wal", os.O_WRONLY)

        def append_all() -> None:
            for item in payloads[1:]:
                wal.append(item)
                os.fdatasync(fd)

        elapsed = seconds(append_all)
        os.close(fd)
    return (WAL_RECORDS - 1) / elapsed


def bare_write_us() -> float:
    """Median of a write and an fdatasync over a file that is there."""
    with tempfile.TemporaryFile(dir=Path.cwd()) as file:
        os.pwrite(file.fileno(), bytes(WRITE * (SYNCHRONOUS + 1)), 0)
        os.fsync(file.fileno())
        data = secrets.token_bytes(WRITE)

        def write(number: int) -> None:
            os.pwrite(file.fileno(), data, number * WRITE)
            os.fdatasync(file.fileno())

        return median_us(write)


def median_us(work: Callable[[int], object]) -> float:
    return statistics.median(seconds(partial(work, number)) for number in range(SYNCHRONOUS)) * 1e6


def run() -> list[Row]:
    """The figures of this machine now."""
    work = batches(RECORDS // BATCH)
    wal = wal_records_per_second()
    with open_journal(catalogue=False) as (_, journal):
        acknowledged = RECORDS / seconds(lambda: produce(journal, work))
    with open_journal(catalogue=True) as (root, journal):

        def produce_and_follow() -> None:
            produce(journal, work)
            journal.follow()

        followed = RECORDS / seconds(produce_and_follow)
        size = journal.size // SEGMENT_RECORDS * SEGMENT_RECORDS
        journal.close()
        sealed = sum(path.stat().st_size for path in (root / "journal").glob("*.zst"))
        catalogue = (root / "catalogue.db").stat().st_size
        wal_file = root / "catalogue.db-wal"
        catalogue += wal_file.stat().st_size if wal_file.exists() else 0
    with open_journal(catalogue=True) as (root, journal):
        one = [work[0][:1]]
        before = bare_write_us()
        synchronous = median_us(lambda _number: journal.append(one[0]).result())
        bare = (before + bare_write_us()) / 2
        produce(journal, work[: SEGMENT_RECORDS // BATCH - 10])
        count = journal.size
        journal.close()
        start = seconds(
            lambda: Journal.open(root / "journal", root / "keys", readonly=True).close()
        )
    kept = (sealed + catalogue) / size
    return [
        Row(
            f"batches of {BATCH}, {PRODUCERS} producers",
            acknowledged,
            wal,
            acknowledged / wal,
            ">= 30",
            "records/s durable; peer: SDK WAL + fdatasync",
        ),
        Row(
            "the same, each leaf hashed and indexed",
            followed,
            wal,
            followed / wal,
            "",
            "records/s; peer: SDK WAL + fdatasync",
        ),
        Row(
            "one synchronous producer, p50",
            synchronous,
            bare,
            synchronous / bare,
            "<= 3",
            f"us; peer: bare {WRITE}-byte write + fdatasync",
        ),
        Row("kept of a sealed record, with catalogue", kept, None, None, "<= 80", "bytes"),
        Row(f"start on a segment of {count} records", start, None, None, "<= 0.5", "s"),
    ]
