import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from swt3_agent.errors import JournalError
from swt3_agent.protocol.log_tree import (
    leaf_hashes,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from swt3_agent.store.journal import Journal, TailCut
from swt3_agent.store.sealed import SealedSegment
from swt3_agent.store.segment_file import SEGMENT_RECORDS
from swt3_agent.store.segment_keys import key_file
from swt3_agent.store.segments import Sealer
from tests.unit.store.records import append, draft, drafts, flip, forget_stop, texts

SIZE = SEGMENT_RECORDS + 1000
SEALED = "0000000000000000.seg.zst"
SECOND = "0000000000000001.seg"
PATIENCE_S = 30.0  # for what comes in milliseconds, or not at all
Copy = Callable[[], Path]


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of one sealed segment and a second one; a commit crosses from the one to the other."""
    root = tmp_path_factory.mktemp("master")
    (root / "journal").mkdir()
    (root / "keys").mkdir()
    with Journal.open(root / "journal", root / "keys") as journal:
        waiting = [journal.append(drafts(600, f"run {n}")) for n in range(SIZE // 600)]
        waiting.append(journal.append(drafts(SIZE % 600, "last")))
        assert waiting[-1].result().first_seq + SIZE % 600 == SIZE
        journal.follow()
    return root


@pytest.fixture
def copy(master: Path, tmp_path: Path) -> Copy:
    def make() -> Path:
        shutil.copytree(master, tmp_path / "copy", dirs_exist_ok=True)
        return tmp_path / "copy"

    return make


def open_journal(root: Path, *, readonly: bool = True) -> Journal:
    return Journal.open(root / "journal", root / "keys", readonly=readonly)


def leaves(journal: Journal) -> Iterator[bytes]:
    for records in journal.slices(0, journal.size):
        key = journal.segment_key(records.first_seq)
        yield from leaf_hashes(key, records.first_seq, records.contents)


def test_a_full_segment_is_sealed_and_its_raw_file_is_gone(master: Path) -> None:
    assert sorted(path.name for path in (master / "journal").iterdir()) == [SEALED, SECOND]


def test_records_read_the_same_on_both_sides_of_a_segment_boundary(master: Path) -> None:
    with open_journal(master) as journal:
        assert journal.size == SIZE
        expected = [f"run {n // 600} {n % 600}" for n in range(SIZE - SIZE % 600)]
        expected += [f"last {n}" for n in range(SIZE % 600)]
        assert texts(journal.scan(0)) == expected
        around = SEGMENT_RECORDS
        assert texts(journal.scan(around - 2, around + 2)) == expected[around - 2 : around + 2]
        for seq in (0, 1, 511, 512, around - 1, around, SIZE - 1):
            record = journal.read(seq)
            assert (record.seq, record.payload.decode()) == (seq, expected[seq])


def test_roots_and_proofs_hold_across_segments(master: Path) -> None:
    with open_journal(master) as journal:
        all_leaves = list(leaves(journal))
        wanted = {1, 65_535, SEGMENT_RECORDS, SEGMENT_RECORDS + 1, SIZE}
        roots = {size: tree_root(all_leaves[:size]) for size in wanted}
        assert {size: journal.root(size) for size in roots} == roots
        for size in wanted:
            seq = size - 1
            path = journal.inclusion(seq, SIZE)
            assert verify_inclusion(all_leaves[seq], seq, SIZE, path, roots[SIZE])
            consistency = journal.consistency(size, SIZE)
            assert verify_consistency(size, SIZE, roots[size], roots[SIZE], consistency)


def test_a_sealed_segment_gives_its_frames_to_any_zstandard_reader(master: Path) -> None:
    with open_journal(master) as journal:
        assert journal.read(0).payload in zstandard.ZstdDecompressor().stream_reader(
            (master / "journal" / SEALED).read_bytes(), read_across_frames=True
        ).read(1000)


def test_a_commit_that_crosses_segments_and_lost_its_end_is_cut_from_both(copy: Copy) -> None:
    root = copy()
    with open_journal(root, readonly=False) as journal:
        full = 2 * SEGMENT_RECORDS
        append(journal, *(f"{n}" for n in range(SIZE, full - 5)))
        journal.append([draft(f"crossing {n}") for n in range(9)]).result()
        assert journal.size == full + 4
        raw = {segment.number: segment for segment in journal._segments.raw}
        end_of_third, start = raw[2].end, raw[1]._offsets[SEGMENT_RECORDS - 5]
        torn = raw[2]._offsets[3], raw[1].end - start + raw[2]._offsets[3]
    third = root / "journal" / "0000000000000002.seg"
    data = bytearray(third.read_bytes())
    data[torn[0] : end_of_third] = bytes(end_of_third - torn[0])
    third.write_bytes(data)
    forget_stop(root)
    with open_journal(root) as reader:
        assert reader.size == full - 5
    with open_journal(root, readonly=False) as journal:
        assert journal.recovered == TailCut(full - 5, torn[1])
        assert not third.exists()
        assert append(journal, *(f"again {n}" for n in range(6))) == full - 5
        assert texts(journal.scan(full - 6)) == [str(full - 6), *(f"again {n}" for n in range(6))]


def test_a_commit_start_in_a_later_segment_makes_a_bad_tail_damage(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sealer, "filled", lambda *_: None)  # a stop before it is sealed
    root = copy()
    with open_journal(root, readonly=False) as journal:
        append(journal, *(f"{n}" for n in range(SIZE, 2 * SEGMENT_RECORDS)))
        append(journal, "acknowledged")
        at = journal._segments.raw[0]._offsets[SEGMENT_RECORDS - 1] + 20
    flip(root / "journal" / SECOND, at)
    with pytest.raises(JournalError) as refused:
        open_journal(root, readonly=False)
    assert refused.value.code == "JOURNAL_DAMAGED"


def test_an_interrupted_sealing_is_finished_at_the_next_start(copy: Copy) -> None:
    root = copy()
    frames = zstandard.ZstdDecompressor().stream_reader(
        (root / "journal" / SEALED).read_bytes(), read_across_frames=True
    )
    raw = root / "journal" / "0000000000000000.seg"
    raw.write_bytes(frames.read())
    (root / "journal" / f".{SEALED}.tmp").write_bytes(b"half of it")
    with open_journal(root, readonly=False) as journal:
        assert journal.size == SIZE
    assert sorted(path.name for path in (root / "journal").iterdir()) == [SEALED, SECOND]


def test_a_raw_full_segment_is_sealed_after_the_next_start(copy: Copy) -> None:
    root = copy()
    with open_journal(root) as journal:
        expected = journal.root(SIZE)
    frames = zstandard.ZstdDecompressor().stream_reader(
        (root / "journal" / SEALED).read_bytes(), read_across_frames=True
    )
    (root / "journal" / "0000000000000000.seg").write_bytes(frames.read())
    (root / "journal" / SEALED).unlink()
    with open_journal(root, readonly=False) as journal:
        assert journal.root(SIZE) == expected
    assert sorted(path.name for path in (root / "journal").iterdir()) == [SEALED, SECOND]


def test_a_reader_goes_on_reading_a_segment_that_is_sealed_under_it(copy: Copy) -> None:
    root = copy()
    with open_journal(root, readonly=False) as writer, open_journal(root) as reader:
        append(writer, *(f"{n}" for n in range(SIZE, 2 * SEGMENT_RECORDS + 3)))
        reader.refresh()
        writer.follow()
        writer.close()
        assert (root / "journal" / "0000000000000001.seg.zst").exists()
        assert texts(reader.scan(SIZE)) == [f"{n}" for n in range(SIZE, 2 * SEGMENT_RECORDS + 3)]
        reader.refresh()
        assert texts(reader.scan(2 * SEGMENT_RECORDS)) == [
            f"{n}" for n in range(2 * SEGMENT_RECORDS, 2 * SEGMENT_RECORDS + 3)
        ]


def test_a_damaged_chunk_of_a_sealed_segment_is_named_when_it_is_read(copy: Copy) -> None:
    root = copy()
    flip(root / "journal" / SEALED, 200)
    with open_journal(root) as journal:
        assert journal.read(SEGMENT_RECORDS - 1).seq == SEGMENT_RECORDS - 1
        with pytest.raises(JournalError, match=SEALED) as damaged:
            journal.read(0)
    assert damaged.value.code == "SEGMENT_DAMAGED"


def test_nothing_is_proved_from_a_sealed_segment_with_another_key(copy: Copy) -> None:
    root = copy()
    (root / "keys" / f"segment-{0:016d}.key").write_bytes(key_file(0, bytes(32)))
    with open_journal(root) as journal, pytest.raises(JournalError) as refused:
        journal.inclusion(5, SIZE)
    assert refused.value.code == "LOG_ROOT_MISMATCH"


@pytest.mark.parametrize("offset", [-1, -5, -40, -2000])
def test_a_damaged_footer_is_named_when_the_journal_opens(copy: Copy, offset: int) -> None:
    root = copy()
    path = root / "journal" / SEALED
    flip(path, path.stat().st_size + offset)
    with pytest.raises(JournalError, match="footer") as damaged:
        open_journal(root)
    assert damaged.value.code == "SEGMENT_DAMAGED"


def test_a_missing_segment_is_named_when_the_journal_opens(copy: Copy) -> None:
    root = copy()
    (root / "journal" / SEALED).unlink()
    with pytest.raises(JournalError, match="segment 0 is missing") as damaged:
        open_journal(root, readonly=False)
    assert damaged.value.code == "JOURNAL_DAMAGED"
    assert (root / "journal" / SECOND).exists()


def test_a_last_segment_that_is_gone_is_missed(copy: Copy) -> None:
    root = copy()
    (root / "journal" / SECOND).unlink()
    (root / "keys" / f"segment-{1:016d}.key").unlink()
    with pytest.raises(JournalError) as shorter:
        open_journal(root, readonly=False)
    assert shorter.value.code == "JOURNAL_SHORTER"


def test_a_full_segment_is_counted_at_once(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = threading.Event()  # sealing comes after counting, from whichever thread followed
    monkeypatch.setattr(Sealer, "filled", lambda *_: counted.set())
    root = copy()
    with open_journal(root, readonly=False) as journal:
        append(journal, *(f"{n}" for n in range(SIZE, 2 * SEGMENT_RECORDS)))
        journal.follow()
        assert counted.wait(PATIENCE_S)
        stated = (root / "journal.high-water").read_bytes()
    assert stated == b"%d\n" % (2 * SEGMENT_RECORDS)


def test_damage_to_the_first_record_of_a_full_raw_segment_is_refused(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sealer, "filled", lambda *_: None)  # a stop before it is sealed
    root = copy()
    with open_journal(root, readonly=False) as journal:
        append(journal, *(f"{n}" for n in range(SIZE, 2 * SEGMENT_RECORDS)))
        append(journal, "acknowledged")
    flip(root / "journal" / SECOND, 20)
    for readonly in (False, True):
        with pytest.raises(JournalError) as refused:
            open_journal(root, readonly=readonly)
        assert refused.value.code == "JOURNAL_DAMAGED"


def test_a_sealed_segment_has_its_name_only_after_it_was_read_back(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that finds both forms deletes the raw one, so the other must be known to be good."""
    root = copy()
    seen: list[bool] = []

    def unlike(sealed: SealedSegment, *_: object) -> None:
        seen.append((root / "journal" / f"{SECOND}.zst").exists())
        raise JournalError("SEGMENT_DAMAGED", f"{sealed.path} reads back differently", remedy="")

    monkeypatch.setattr("swt3_agent.store.sealed._compare", unlike)
    with open_journal(root, readonly=False) as journal:
        append(journal, *(f"{n}" for n in range(SIZE, 2 * SEGMENT_RECORDS)))
        journal.follow()
    assert seen == [False]
    assert sorted(path.name for path in (root / "journal").iterdir()) == [SEALED, SECOND]


def test_a_segment_that_cannot_be_opened_is_named(copy: Copy) -> None:
    root = copy()
    with open_journal(root) as journal:
        (root / "journal" / SEALED).unlink()
        with pytest.raises(JournalError, match="segment 0 cannot be read") as damaged:
            journal.read(0)
        assert damaged.value.code == "SEGMENT_DAMAGED"
