"""The log against itself, over more than one segment."""

from pathlib import Path

import pytest

from swt3_agent.protocol.record import Record
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Journal
from swt3_agent.store.seals import LogState
from swt3_agent.store.segment_file import SEGMENT_RECORDS
from swt3_agent.store.self_check import TURNS, SelfCheck, check_log
from swt3_agent.store.state import StateDirectory
from tests.unit.store.records import drafts

EXTRA = 1500


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("self-check") / "state"
    StateDirectory.open(root).close()
    with Journal.open(root / "journal", root / "keys") as journal:
        batch = drafts(500)
        while journal.size < SEGMENT_RECORDS + EXTRA - 500:
            journal.append(batch).result()
        Catalogue.open(root / "catalogue.db", journal).close()
    return root


def checked(
    root: Path, start: int, earlier: LogState | None = None, turn: int = 1
) -> tuple[SelfCheck, list[int]]:
    seen: list[int] = []

    def see(record: Record) -> None:
        seen.append(record.seq)

    with (
        Journal.open(root / "journal", root / "keys", readonly=True) as journal,
        Catalogue.open(root / "catalogue.db", journal) as catalogue,
    ):
        size = journal.size
        check = check_log(journal, catalogue, start, size, earlier, turn, see, lambda: None)
        if check.root is not None:
            assert check.root == journal.root(size)
    return check, seen


def test_everything_from_the_segment_on_is_read_back_and_handed_on_from_the_start(
    long_log: Path,
) -> None:
    check, seen = checked(long_log, 100)
    assert check.problems == ()
    assert check.entries == check.size
    assert seen == list(range(100, check.size))
    start = SEGMENT_RECORDS + 10
    later, seen = checked(long_log, start)
    assert later.problems == ()
    assert later.entries == check.size - SEGMENT_RECORDS  # the first segment by its stored root
    assert seen == list(range(start, check.size))
    assert later.root == check.root


def test_a_log_that_is_not_the_one_stated_before_is_named(long_log: Path) -> None:
    check, _ = checked(long_log, 0, LogState(SEGMENT_RECORDS + 3, "00" * 32))
    assert [problem.code for problem in check.problems] == ["AUDITED_ROOT"]
    assert check.root is not None
    beyond, _ = checked(long_log, 0, LogState(10**9, "00" * 32))
    assert beyond.problems == ()  # of a log that was longer: a lost end is for the start to say


def test_a_sealed_segment_that_cannot_be_read_is_a_problem_and_leaves_no_root(
    long_log: Path,
) -> None:
    (sealed,) = (long_log / "journal").glob("*.zst*")
    whole = sealed.read_bytes()
    sealed.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    try:
        check, _ = checked(long_log, 0)
    finally:
        sealed.write_bytes(whole)
    assert check.root is None
    assert [problem.code for problem in check.problems] == ["SEGMENT_DAMAGED"]


def test_an_old_segment_is_read_again_when_its_turn_comes(long_log: Path) -> None:
    start = SEGMENT_RECORDS + 10
    again, seen = checked(long_log, start, turn=3 * TURNS)
    assert again.problems == ()
    assert again.entries == again.size
    assert seen == list(range(start, again.size))
    (sealed,) = (long_log / "journal").glob("*.zst*")
    whole = sealed.read_bytes()
    sealed.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    try:
        damaged, _ = checked(long_log, start, turn=0)
        not_its_turn, _ = checked(long_log, start, turn=1)
    finally:
        sealed.write_bytes(whole)
    assert [problem.code for problem in damaged.problems] == ["SEGMENT_DAMAGED"]
    assert damaged.root == again.root  # the day is sealed all the same, as not verified
    assert not_its_turn.problems == ()
    assert not_its_turn.entries == again.size - SEGMENT_RECORDS
