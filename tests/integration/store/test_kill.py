"""Kill -9 in the middle of a stream: no acknowledged record is lost, none is there twice."""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from swt3_agent.protocol.record import Record
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.fsck import check
from swt3_agent.store.journal import Journal
from swt3_agent.store.state import StateDirectory
from tests.integration.store.producer import records_of

Acknowledged = tuple[int, int, int, int]
THREADS = 4


def run_and_kill(root: Path, after_lines: int) -> list[Acknowledged]:
    """What a producer acknowledged before it was killed, a little after ``after_lines`` commits."""
    command = [sys.executable, "-m", "tests.integration.store.producer", str(root), str(THREADS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as producer:
        assert producer.stdout is not None
        lines = [producer.stdout.readline() for _ in range(after_lines)]
        producer.kill()
        lines += producer.stdout.readlines()
    return [
        (int(first), int(count), int(thread), int(batch))
        for first, count, thread, batch in (line.split() for line in lines if line[-1:] == b"\n")
    ]


def assert_stored(records: list[Record], acknowledged: Acknowledged) -> None:
    first, count, thread, batch = acknowledged
    expected = records_of(thread, batch)
    stored = [(r.kind, r.provenance, r.payload) for r in records[first : first + count]]
    assert stored == expected


@pytest.mark.parametrize("seed", [1, 2])
def test_no_acknowledged_record_is_lost_and_none_is_there_twice(tmp_path: Path, seed: int) -> None:
    StateDirectory.open(tmp_path).close()
    chance = random.Random(seed)  # when to kill, not what to keep secret
    acknowledged: list[Acknowledged] = []
    for _ in range(4):
        acknowledged += run_and_kill(tmp_path, chance.randrange(1, 400))
        with Journal.open(tmp_path / "journal", tmp_path / "keys") as journal:
            records = list(journal.scan(0))
    assert [record.seq for record in records] == list(range(len(records)))
    for commit in acknowledged:
        assert_stored(records, commit)
    batches = Counter((record.provenance, record.payload) for record in records)
    assert set(batches.values()) == {1}
    assert check(tmp_path) == []


def test_a_batch_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    StateDirectory.open(tmp_path).close()
    acknowledged = run_and_kill(tmp_path, 100)
    with (
        Journal.open(tmp_path / "journal", tmp_path / "keys") as journal,
        Catalogue.open(tmp_path / "catalogue.db", journal) as catalogue,
    ):
        for thread in range(THREADS):
            heard = [batch for _, _, number, batch in acknowledged if number == thread]
            stored = catalogue.last_batch("LOCAL", str(thread))
            last = -1 if stored is None else stored  # it may not have had its turn yet
            assert last >= max(heard, default=-1)
            for batch in range(last + 1):
                row = catalogue.find_batch("LOCAL", str(thread), batch)
                assert row is not None
                assert row.total == len(records_of(thread, batch))
