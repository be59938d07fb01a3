import errno
import json
import logging
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from swt3_agent.errors import JournalError
from swt3_agent.protocol.log_tree import (
    EMPTY_ROOT,
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from swt3_agent.protocol.record import FLAG_COMMIT_END, FLAG_COMMIT_START, MAX_BODY, Kind
from swt3_agent.store import segment_file
from swt3_agent.store.frames import find_commit_starts
from swt3_agent.store.journal import Commit, Draft, Journal, TailCut
from swt3_agent.store.segment_keys import key_file
from tests.unit.store.conftest import OpenJournal
from tests.unit.store.records import RAW, append, draft, drafts, flip, forget_stop, texts


def leaves_of(journal: Journal, size: int) -> list[bytes]:
    """Leaf hashes by the definition, one record at a time."""
    leaves = []
    for record in journal.scan(0, size):
        salt_p, salt_v = journal.leaf_salts(record.seq)
        leaves.append(leaf_hash(record.seq, salt_p, record.payload, salt_v, record.provenance))
    return leaves


def test_records_come_back_as_they_were_written(open_journal: OpenJournal) -> None:
    journal = open_journal()
    written = [draft("one"), draft("two", Kind.MINTED), Draft(Kind.QUARANTINE, b"{}", b"\xff\0")]
    commit = journal.append(written).result()
    assert (commit.first_seq, commit.count, journal.size) == (0, 3, 3)
    read = list(journal.scan(0))
    assert [(r.kind, r.provenance, r.payload) for r in read] == written
    assert [r.seq for r in read] == [0, 1, 2]
    assert read[1] == journal.read(1)
    assert {record.received_ns for record in read} == {commit.received_ns}


def test_records_are_there_after_a_restart(open_journal: OpenJournal) -> None:
    first = open_journal()
    append(first, "a", "b")
    append(first, "c")
    root = first.root(3)
    first.close()
    second = open_journal()
    assert second.recovered is None
    assert texts(second.scan(0)) == ["a", "b", "c"]
    assert second.root(3) == root
    assert append(second, "d") == 3


def test_each_append_is_one_commit_with_its_begin_and_end_marked(open_journal: OpenJournal) -> None:
    journal = open_journal()
    append(journal, "a", "b", "c")
    append(journal, "d")
    marks = [
        (bool(record.flags & FLAG_COMMIT_START), bool(record.flags & FLAG_COMMIT_END))
        for record in journal.scan(0)
    ]
    assert marks == [(True, False), (False, False), (False, True), (True, True)]


def test_many_producers_each_get_their_own_run_of_numbers(open_journal: OpenJournal) -> None:
    journal = open_journal()
    commits: dict[str, list[Commit]] = {}

    def produce(name: str) -> None:
        commits[name] = [
            journal.append([draft(f"{name}/{turn}/{i}") for i in range(5)]).result()
            for turn in range(20)
        ]

    threads = [threading.Thread(target=produce, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.size == 8 * 20 * 5
    stored = texts(journal.scan(0))
    for name, own in commits.items():
        assert [c.first_seq for c in own] == sorted(c.first_seq for c in own)
        for turn, commit in enumerate(own):
            run = stored[commit.first_seq : commit.first_seq + commit.count]
            assert run == [f"{name}/{turn}/{i}" for i in range(5)]


def test_closing_finishes_what_waits_and_refuses_what_comes_after(
    open_journal: OpenJournal,
) -> None:
    journal = open_journal()
    waiting = [journal.append(drafts(50)) for _ in range(20)]
    journal.close()
    assert [future.result().first_seq for future in waiting] == list(range(0, 1000, 50))
    with pytest.raises(JournalError) as refused:
        journal.append(drafts(1))
    assert refused.value.code == "JOURNAL_CLOSED"
    assert open_journal().size == 1000


def test_a_journal_leaves_no_thread_and_no_file_behind(journal_dir: Path) -> None:
    def open_files() -> set[str]:
        return {str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()}

    threads, files = set(threading.enumerate()), open_files()
    for readonly in (False, True):
        with Journal.open(journal_dir / "journal", journal_dir / "keys", readonly=readonly) as log:
            if not readonly:
                append(log, "a")
            log.root(log.size)
    assert set(threading.enumerate()) == threads
    assert {name for name in open_files() - files if str(journal_dir) in name} == set()


def test_too_much_waiting_is_refused_at_once_and_can_be_sent_again(
    open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal()
    disk = threading.Event()
    sync = segment_file.SegmentFile.sync

    def slow_sync(segment: segment_file.SegmentFile) -> None:
        disk.wait(30)
        sync(segment)

    monkeypatch.setattr(segment_file.SegmentFile, "sync", slow_sync)
    megabyte = [Draft(Kind.OPAQUE, b"{}", bytes(1 << 20))]
    accepted = [journal.append(megabyte) for _ in range(63)]
    with pytest.raises(JournalError) as busy:
        journal.append(megabyte)
    assert (busy.value.code, busy.value.retryable) == ("BUSY", True)
    disk.set()
    assert [future.result().count for future in accepted] == [1] * len(accepted)
    assert journal.append(megabyte).result().count == 1


def test_a_record_that_no_frame_can_hold_is_refused_before_it_waits(
    open_journal: OpenJournal,
) -> None:
    with pytest.raises(JournalError) as refused:
        open_journal().append([Draft(Kind.OPAQUE, b"{}", bytes(MAX_BODY))])
    assert refused.value.code == "RECORD_TOO_LARGE"


def test_a_record_larger_than_a_read_window_survives_a_restart(open_journal: OpenJournal) -> None:
    large = Draft(Kind.OPAQUE, b"{}", b"x" * (MAX_BODY - 100))
    first = open_journal()
    first.append([draft("before"), large, draft("after")]).result()
    first.close()
    second = open_journal()
    assert second.recovered is None
    assert [len(record.payload) for record in second.scan(0)] == [6, MAX_BODY - 100, 5]


def test_a_future_that_is_cancelled_does_not_disturb_the_writer(open_journal: OpenJournal) -> None:
    journal = open_journal()
    assert not journal.append(drafts(1)).cancel()
    assert append(journal, "next") == 1


@pytest.mark.parametrize("torn", ["cut short", "zeros in front", "first byte only", "crc"])
def test_a_torn_tail_is_cut_to_the_last_whole_commit_and_said(
    journal_dir: Path, open_journal: OpenJournal, torn: str
) -> None:
    first = open_journal()
    append(first, "kept", "kept too")
    kept_root = first.root(2)
    end = first._segments.raw[0].end
    append(first, *(f"torn {number}" for number in range(10)))
    torn_end = first._segments.raw[0].end
    first.close()
    forget_stop(journal_dir)
    path = journal_dir / "journal" / RAW
    data = bytearray(path.read_bytes())
    match torn:
        case "cut short":  # eight of the ten frames are whole: none of them was acknowledged
            data[torn_end - 100 : torn_end] = bytes(100)
        case "zeros in front":
            data[end : end + 120] = bytes(120)
        case "first byte only":
            data[end + 1 : torn_end] = bytes(torn_end - end - 1)
        case "crc":
            data[end + 200] ^= 1
    path.write_bytes(data)
    used = len(data.rstrip(b"\0"))
    second = open_journal()
    assert second.recovered == TailCut(2, used - end)
    assert texts(second.scan(0)) == ["kept", "kept too"]
    assert second.root(2) == kept_root
    assert append(second, "next") == 2
    second.close()
    third = open_journal()
    assert third.recovered is None
    assert texts(third.scan(0)) == ["kept", "kept too", "next"]


def test_a_commit_whose_end_is_missing_at_a_frame_boundary_is_cut_whole(
    journal_dir: Path, open_journal: OpenJournal
) -> None:
    first = open_journal()
    append(first, "kept")
    append(first, "half", "of", "a batch")
    segment = first._segments.raw[0]
    boundary, end = segment._offsets[2], segment.end
    first.close()
    forget_stop(journal_dir)
    path = journal_dir / "journal" / RAW
    data = bytearray(path.read_bytes())
    data[boundary:end] = bytes(end - boundary)
    path.write_bytes(data)
    second = open_journal()
    assert second.recovered is not None
    assert texts(second.scan(0)) == ["kept"]


LOSSES: dict[str, Callable[[Path], object]] = {
    "last commits": lambda path: os.truncate(path, 120),
    "all of a file": lambda path: os.truncate(path, 0),
    "the file": Path.unlink,
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_journal_that_lost_its_end_is_refused_and_left_alone(
    journal_dir: Path, open_journal: OpenJournal, loss: str
) -> None:
    first = open_journal()
    for text in ("a", "b", "c"):
        append(first, text)
    first.close()
    path = journal_dir / "journal" / RAW
    good = path.read_bytes()
    LOSSES[loss](path)
    left = path.read_bytes() if path.exists() else None
    with pytest.raises(JournalError, match="3 were committed") as refused:
        open_journal()
    assert refused.value.code == "JOURNAL_SHORTER"
    assert left == (path.read_bytes() if path.exists() else None)
    assert open_journal(readonly=True).size < 3
    path.write_bytes(good)
    assert open_journal().size == 3


def test_what_was_committed_after_the_size_was_stated_is_no_reason_to_refuse_less(
    journal_dir: Path, open_journal: OpenJournal
) -> None:
    first = open_journal()
    append(first, "a")
    first.mark_size()
    stated = (journal_dir / "journal.high-water").read_bytes()
    end = first._segments.raw[0].end
    append(first, "b")
    first.close()
    assert (stated, (journal_dir / "journal.high-water").read_bytes()) == (b"1\n", b"2\n")
    (journal_dir / "journal.high-water").write_bytes(stated)  # as after a kill
    flip(journal_dir / "journal" / RAW, end + 45)
    second = open_journal()
    assert (second.size, second.recovered is None) == (1, False)


@pytest.mark.parametrize("damage", [b"", b"12", b"-1\n", b"x" * 5000])
def test_a_stated_size_that_cannot_be_read_stops_nothing(
    journal_dir: Path, open_journal: OpenJournal, damage: bytes
) -> None:
    first = open_journal()
    append(first, "a")
    first.close()
    path = journal_dir / "journal.high-water"
    path.write_bytes(damage)
    second = open_journal()
    append(second, "b")
    second.close()
    assert path.read_bytes() == b"2\n"


def test_damage_before_an_acknowledged_commit_is_never_cut(
    journal_dir: Path, open_journal: OpenJournal
) -> None:
    first = open_journal()
    append(first, "a")
    offset = first._segments.raw[0].end + 50
    append(first, "b" * 100)
    append(first, "c")
    first.close()
    path = journal_dir / "journal" / RAW
    flip(path, offset)
    before = path.read_bytes()
    for readonly in (False, True):
        with pytest.raises(JournalError, match="record 1 belongs") as refused:
            open_journal(readonly=readonly)
        assert refused.value.code == "JOURNAL_DAMAGED"
        assert "fsck" in refused.value.remedy
    assert path.read_bytes() == before


def test_a_reader_beside_the_writer_sees_what_is_committed(
    journal_dir: Path, open_journal: OpenJournal
) -> None:
    writer = open_journal()
    append(writer, "a", "b")
    reader = open_journal(readonly=True)
    assert texts(reader.scan(0)) == ["a", "b"]
    append(writer, "c")
    assert reader.size == 2
    reader.refresh()
    assert texts(reader.scan(0)) == ["a", "b", "c"]
    assert reader.root(3) == writer.root(3)
    before = {path.name: path.read_bytes() for path in (journal_dir / "journal").iterdir()}
    with pytest.raises(JournalError) as refused:
        reader.append(drafts(1))
    assert refused.value.code == "JOURNAL_READ_ONLY"
    assert before == {path.name: path.read_bytes() for path in (journal_dir / "journal").iterdir()}


def test_a_reader_leaves_a_torn_tail_alone(journal_dir: Path, open_journal: OpenJournal) -> None:
    writer = open_journal()
    append(writer, "a")
    end = writer._segments.raw[0].end
    append(writer, "b")
    writer.close()
    path = journal_dir / "journal" / RAW
    flip(path, end + 45)
    before = path.read_bytes()
    assert texts(open_journal(readonly=True).scan(0)) == ["a"]
    assert path.read_bytes() == before


def test_the_root_is_that_of_the_definition_at_every_size(open_journal: OpenJournal) -> None:
    journal = open_journal()
    journal.append(drafts(37)).result()
    leaves = leaves_of(journal, 37)
    assert journal.root(0) == EMPTY_ROOT
    for size in range(1, 38):
        assert journal.root(size) == tree_root(leaves[:size])
        for seq in {0, size // 2, size - 1}:
            path = journal.inclusion(seq, size)
            assert verify_inclusion(leaves[seq], seq, size, path, journal.root(size))
        assert verify_consistency(
            size, 37, journal.root(size), journal.root(37), journal.consistency(size, 37)
        )


def test_the_root_does_not_depend_on_how_the_records_were_committed(
    open_journal: OpenJournal,
) -> None:
    journal = open_journal()
    for start in range(0, 300, 30):
        journal.append(drafts(30, f"run {start}"))
        journal.follow(journal.size)
    journal.close()
    again = open_journal()
    assert again.root(again.size) == tree_root(leaves_of(again, again.size))


@pytest.mark.parametrize(
    "ask",
    [
        lambda journal: journal.read(2),
        lambda journal: journal.read(-1),
        lambda journal: journal.root(3),
        lambda journal: journal.inclusion(2, 2),
        lambda journal: journal.inclusion(0, 3),
        lambda journal: journal.consistency(2, 1),
    ],
)
def test_what_is_not_in_the_log_is_refused(open_journal: OpenJournal, ask: object) -> None:
    journal = open_journal()
    append(journal, "a", "b")
    assert callable(ask)
    with pytest.raises(JournalError) as refused:
        ask(journal)
    assert refused.value.code == "NO_SUCH_RECORD"


def test_segments_and_keys_are_private_and_a_key_is_made_before_its_segment(
    journal_dir: Path, open_journal: OpenJournal
) -> None:
    journal = open_journal()
    append(journal, "a")
    for path in [*(journal_dir / "journal").iterdir(), *(journal_dir / "keys").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = journal.segment_key(0)
    assert len(key) == 32
    assert (journal_dir / "keys" / f"segment-{0:016d}.key").read_bytes() == key_file(0, key)


def test_a_missing_segment_key_is_named_when_it_is_needed(
    journal_dir: Path, open_journal: OpenJournal
) -> None:
    first = open_journal()
    append(first, "a")
    first.close()
    (journal_dir / "keys" / f"segment-{0:016d}.key").unlink()
    journal = open_journal(readonly=True)
    assert texts(journal.scan(0)) == ["a"]
    with pytest.raises(JournalError) as missing:
        journal.root(1)
    assert missing.value.code == "SEGMENT_KEY_MISSING"


@pytest.mark.parametrize("content", [bytes(32), bytes(64), b"", key_file(1, bytes(32))])
def test_a_segment_key_that_is_not_as_it_was_made_is_refused(
    journal_dir: Path, open_journal: OpenJournal, content: bytes
) -> None:
    first = open_journal()
    append(first, "a")
    first.close()
    (journal_dir / "keys" / f"segment-{0:016d}.key").write_bytes(content)
    with pytest.raises(JournalError) as damaged:
        open_journal().root(1)
    assert damaged.value.code == "SEGMENT_KEY_DAMAGED"


def test_a_damaged_key_that_no_record_needs_yet_is_made_anew(
    journal_dir: Path, open_journal: OpenJournal
) -> None:
    (journal_dir / "keys" / f"segment-{0:016d}.key").write_bytes(b"torn")
    journal = open_journal()
    append(journal, "a")
    assert len(journal.root(1)) == 32


def test_observers_learn_of_a_commit_before_its_producer(open_journal: OpenJournal) -> None:
    journal = open_journal()
    seen: list[tuple[int, int]] = []
    journal.observe_commits(lambda first, appends: seen.append((first, sum(map(len, appends)))))
    for count in (3, 1, 2):
        journal.append(drafts(count)).result()
    assert seen == [(0, 3), (3, 1), (4, 2)]


def test_subscribers_get_every_record_once_and_in_order(open_journal: OpenJournal) -> None:
    journal = open_journal()
    seen: list[bytes] = []
    journal.subscribe(lambda records: seen.extend(payload for _, payload in records.contents))
    for turn in range(30):
        journal.append(drafts(40, str(turn)))
        if turn % 7 == 0:
            journal.follow()
    journal.follow()
    assert seen == [record.payload for record in journal.scan(0)]


def test_following_goes_on_when_what_hindered_it_is_gone(
    journal_dir: Path, open_journal: OpenJournal
) -> None:
    first = open_journal()
    append(first, "a")
    first.close()
    key = journal_dir / "keys" / f"segment-{0:016d}.key"
    hindered, followed = threading.Event(), threading.Event()

    class Hindered(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            hindered.set()

    handler = Hindered()
    log = logging.getLogger("swt3_agent.store.follower")
    log.addHandler(handler)
    try:
        key.rename(key.with_name("away"))
        journal = open_journal()
        assert hindered.wait(30)
        journal.subscribe(lambda _: followed.set())
        key.with_name("away").rename(key)
        assert followed.wait(30)
    finally:
        log.removeHandler(handler)


def test_provenance_stays_byte_for_byte(open_journal: OpenJournal) -> None:
    journal = open_journal()
    provenance = json.dumps({"cgroup": "/ä"}, ensure_ascii=False).encode()
    journal.append([Draft(Kind.RELAYED, provenance, b"{}")]).result()
    assert journal.read(0).provenance == provenance


def test_a_disk_that_fails_a_sync_stops_the_journal_for_good(
    open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal()
    append(journal, "acknowledged")

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("swt3_agent.store.segment_file.os.fdatasync", broken)
        failed = journal.append(drafts(2)).exception()
    assert isinstance(failed, JournalError)
    assert (failed.code, failed.retryable) == ("JOURNAL_FAILED", False)
    assert journal.failure is not None
    with pytest.raises(JournalError) as refused:
        journal.append(drafts(1))
    assert refused.value.code == "JOURNAL_FAILED"
    assert texts(journal.scan(0)) == ["acknowledged"]
    journal.close()
    again = open_journal()
    assert texts(again.scan(0, 1)) == ["acknowledged"]
    assert append(again, "goes on") == again.size - 1


@pytest.mark.parametrize("size", [100, 200_000])
def test_a_write_that_finds_no_room_is_undone(
    journal_dir: Path, open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    journal = open_journal()
    append(journal, "kept")
    path = journal_dir / "journal" / RAW
    before = path.read_bytes()
    pwrite = os.pwrite

    def half_a_write(fd: int, data: bytes, offset: int) -> int:
        if not bytes(data[:100]).strip(b"\0"):
            return pwrite(fd, data, offset)  # zeros always go where something was
        if len(data) <= size // 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(fd, data[: len(data) - size // 2], offset)

    with monkeypatch.context() as patched:
        patched.setattr("swt3_agent.store.durable.os.pwrite", half_a_write)
        failed = journal.append([draft("x" * size)]).exception()
    assert isinstance(failed, JournalError)
    assert (failed.code, failed.retryable) == ("DISK_FULL", True)
    assert path.read_bytes() == before
    assert append(journal, "there is room again") == 1
    journal.close()
    again = open_journal()
    assert again.recovered is None
    assert texts(again.scan(0)) == ["kept", "there is room again"]


def test_commits_that_are_written_while_a_reader_looks_are_no_damage(
    open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_journal()
    append(writer, "seen")

    def commit_first(*arguments: int) -> object:
        append(writer, "later")
        append(writer, "later still")
        return find_commit_starts(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr("swt3_agent.store.recovery.find_commit_starts", commit_first)
        reader = open_journal(readonly=True)
    assert texts(reader.scan(0)) == ["seen"]
    reader.refresh()
    assert texts(reader.scan(0)) == ["seen", "later", "later still"]


def test_what_a_start_takes_over_is_synced_before_it_counts(
    open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer whose acknowledgement was lost is told that its batch is there already."""
    first = open_journal()
    append(first, "written, and killed before the sync")
    first.close()
    synced: list[str] = []
    fdatasync = os.fdatasync

    def note(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        fdatasync(fd)

    monkeypatch.setattr("swt3_agent.store.recovery.os.fdatasync", note)
    assert open_journal().size == 1
    assert synced == [RAW]
