"""Custody over real directories: durable or said; a place that fails costs no record."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from swt3_agent.config.settings import CustodySettings
from swt3_agent.errors import ConfigError, FormatError, JournalError, StateError
from swt3_agent.protocol.custodian import CustodianKey, generate_custodian, read_custodian_key
from swt3_agent.protocol.custody import CustodyEntry, withheld
from swt3_agent.protocol.custody_file import KeptEntry
from swt3_agent.protocol.handoff import handoff
from swt3_agent.store.custody.keeper import Custody
from swt3_agent.store.custody.log_shelf import LogShelf, Source
from swt3_agent.store.custody.opening import custody_key_file, open_custody
from swt3_agent.store.custody.reader import CustodyFile
from swt3_agent.store.state import Layout, StateDirectory

PATIENCE_S = 20.0
SOURCE = Source("ab" * 16, "cd" * 16)


def entry(number: int) -> CustodyEntry:
    original = json.dumps(
        {"procedure_id": "AI-INF.1", "anchor_fingerprint": f"{number:012x}", "clearing_level": 1}
    ).encode()
    return withheld("LOCAL", original, b"{}", 3)


def keep(custody: Custody, *entries: CustodyEntry) -> None:
    custody.put(entries).result(PATIENCE_S)


def await_that(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read(path: Path, key: CustodianKey) -> tuple[list[KeptEntry], CustodyFile]:
    with CustodyFile(path) as file:
        return list(file.entries(key)), file


def originals(directory: Path, key: CustodianKey) -> list[bytes]:
    return [e.original for path in sorted(directory.glob("*.custody")) for e in read(path, key)[0]]


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    with StateDirectory.open(tmp_path / "state") as state:
        yield state.layout


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.mkdir()
    return path


def opened(layout: Layout, path: Path | None = None, **settings: object) -> Custody:
    named = CustodySettings(path=None if path is None else str(path), **settings)  # type: ignore[arg-type]
    return open_custody(named, layout, SOURCE)


def own_key(layout: Layout) -> CustodianKey:
    return read_custodian_key(custody_key_file(layout).read_bytes())


def test_what_is_kept_is_durable_private_and_comes_back(layout: Layout) -> None:
    entries = [entry(n) for n in range(3)]
    with opened(layout) as custody:
        keep(custody, *entries[:2])
        keep(custody, entries[2])
        (file,) = layout.custody.iterdir()
        kept, reading = read(file, own_key(layout))
        assert [k.original for k in kept] == [e.original for e in entries]
        assert not reading.finished
        assert custody.entries == 3
        assert custody.lack is None
    kept, reading = read(file, own_key(layout))
    assert [k.record_digest for k in kept] == [sha256(b"{}").digest()] * 3
    assert (reading.finished, reading.damage) == (True, [])
    assert (reading.header.node, reading.header.log) == (SOURCE.node_id, SOURCE.log_id)
    assert file.stat().st_mode & 0o777 == 0o600
    assert entries[0].original not in file.read_bytes()


def test_a_node_that_seals_to_custodians_keeps_no_key(layout: Layout, tmp_path: Path) -> None:
    private, public = generate_custodian()
    pem = tmp_path / "alice.pub"
    pem.write_bytes(public)
    with opened(layout, recipients=(str(pem),)) as custody:
        keep(custody, entry(1))
    assert not custody_key_file(layout).exists()
    assert originals(layout.custody, read_custodian_key(private)) == [entry(1).original]
    assert custody.recipients == (read_custodian_key(private).recipient.key_id,)


def test_each_start_begins_a_file_under_another_key(layout: Layout) -> None:
    for number in range(2):
        with opened(layout) as custody:
            keep(custody, entry(number))
    assert len(list(layout.custody.iterdir())) == 2
    assert originals(layout.custody, own_key(layout)) == [entry(0).original, entry(1).original]


def test_rotation_finishes_the_file(layout: Layout) -> None:
    with opened(layout) as custody:
        keep(custody, entry(1))
        assert custody.rotate()
        (file,) = layout.custody.iterdir()
        assert read(file, own_key(layout))[1].finished
        keep(custody, entry(2))
        assert len(list(layout.custody.iterdir())) == 2


def test_an_old_file_is_finished_and_its_key_forgotten(layout: Layout) -> None:
    private, _ = generate_custodian()
    key = read_custodian_key(private)
    clock = [0.0]
    shelf = LogShelf(layout.custody, [key.recipient], SOURCE, lambda: clock[0])
    shelf.keep([entry(1)])
    clock[0] = 3601.0
    shelf.settle()
    (file,) = layout.custody.iterdir()
    assert read(file, key)[1].finished
    shelf.keep([entry(2)])
    shelf.close()
    assert len(originals(layout.custody, key)) == 2


def test_a_large_group_is_many_frames(layout: Layout) -> None:
    large = [withheld("LOCAL", b"x" * 3_000_000, b"", 3) for _ in range(5)]
    with opened(layout) as custody:
        keep(custody, *large)
    assert originals(layout.custody, own_key(layout)) == [each.original for each in large]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_tail_costs_nothing_that_was_acknowledged(layout: Layout, cut: int) -> None:
    with opened(layout) as custody:
        keep(custody, entry(1))
        (file,) = layout.custody.iterdir()
        acknowledged = file.stat().st_size
        keep(custody, entry(2))
    data = file.read_bytes()
    file.write_bytes(data[: acknowledged + cut])
    kept, reading = read(file, own_key(layout))
    assert [k.original for k in kept] == [entry(1).original]
    assert (reading.finished, reading.damage) == (False, [])


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_damage_is_named_and_what_is_whole_is_read(layout: Layout) -> None:
    with opened(layout) as custody:
        keep(custody, entry(1))
        (file,) = layout.custody.iterdir()
        first_end = file.stat().st_size
        keep(custody, entry(2))
    data = file.read_bytes()
    file.write_bytes(_flip(data, first_end - 20))
    kept, reading = read(file, own_key(layout))
    assert [k.original for k in kept] == [entry(2).original]
    assert [reason.code for reason in reading.damage] == ["CUSTODY_FRAME", "CUSTODY_COUNT"]
    file.write_bytes(data + b"x")
    assert [reason.code for reason in read(file, own_key(layout))[1].damage] == ["CUSTODY_TRAILING"]
    file.write_bytes(b"something else")
    with pytest.raises(FormatError, match="does not begin"):
        CustodyFile(file)


class TestFailingPlace:
    """A real volume: one that is not mounted, a file where it should be, a full one."""

    def test_the_spool_takes_over_and_gives_back(self, layout: Layout, elsewhere: Path) -> None:
        with opened(layout, elsewhere) as custody:
            keep(custody, entry(1))
            custody.rotate()
            shutil.move(elsewhere, elsewhere.with_name("unmounted"))
            keep(custody, entry(2))
            assert custody.lack is not None
            assert custody.lack.code == "CUSTODY_FAILED"
            assert str(elsewhere) in custody.lack.detail
            assert len(list(layout.custody_spool.iterdir())) == 1
            shutil.move(elsewhere.with_name("unmounted"), elsewhere)
            custody.rotate()
            await_that(lambda: custody.lack is None)
            assert list(layout.custody_spool.iterdir()) == []
            keep(custody, entry(3))
        numbers = sorted(originals(elsewhere, own_key(layout)))
        assert numbers == sorted(entry(n).original for n in (1, 2, 3))

    def test_it_is_tried_again_without_being_asked(self, layout: Layout, tmp_path: Path) -> None:
        late = tmp_path / "late"
        with opened(layout, late) as custody:
            keep(custody, entry(1))
            assert custody.lack is not None
            late.mkdir()
            await_that(lambda: custody.lack is None)
        assert originals(late, own_key(layout)) == [entry(1).original]

    def test_what_a_start_finds_in_the_spool_is_moved(self, layout: Layout, tmp_path: Path) -> None:
        late = tmp_path / "late"
        with opened(layout, late) as custody:
            keep(custody, entry(1))
        late.mkdir()
        with opened(layout, late) as custody:
            await_that(lambda: custody.lack is None)
        assert originals(late, own_key(layout)) == [entry(1).original]

    def test_a_file_in_its_place_is_no_directory(self, layout: Layout, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_text("not a directory")
        with opened(layout, file) as custody:
            keep(custody, entry(1))
            assert custody.lack is not None
            assert custody.lack.code == "CUSTODY_FAILED"
        assert file.read_text() == "not a directory"

    def test_the_agents_own_place_has_a_spool_too(self, layout: Layout) -> None:
        layout.custody.rmdir()
        layout.custody.write_text("")
        with opened(layout) as custody:
            keep(custody, entry(1))
            assert custody.lack is not None
        assert originals(layout.custody_spool, own_key(layout)) == [entry(1).original]

    def test_where_both_fail_producers_are_told_to_come_back(
        self, layout: Layout, tmp_path: Path
    ) -> None:
        layout.custody_spool.write_text("a file in the way")
        with opened(layout, tmp_path / "absent") as custody:
            with pytest.raises(JournalError) as raised:
                keep(custody, entry(1))
            assert raised.value.code == "CUSTODY_FAILED"
            assert raised.value.retryable
            layout.custody_spool.unlink()
            keep(custody, entry(1))
        assert len(originals(layout.custody_spool, own_key(layout))) == 1

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
    @pytest.mark.parametrize("form", ["log", "files"])
    def test_a_full_volume(self, layout: Layout, elsewhere: Path, form: str) -> None:
        with small_disk(elsewhere), opened(layout, elsewhere, format=form) as custody:
            for _ in range(40):
                keep(custody, withheld("LOCAL", b'{"x":"%b"}' % (b"x" * 40_000), b"{}", 3))
            assert custody.lack is not None
            assert custody.lack.code == "CUSTODY_FULL"
            assert any(layout.custody_spool.iterdir())
            assert custody.entries == 40
            for file in elsewhere.iterdir():  # a custodian took them over
                file.unlink()
            while any(layout.custody_spool.iterdir()):  # there is not room for all at once
                custody.rotate()
                for file in elsewhere.iterdir():
                    file.unlink()
            custody.rotate()
            assert custody.lack is None

    @pytest.mark.permissions
    def test_a_place_that_is_not_ours(self, layout: Layout, elsewhere: Path) -> None:
        elsewhere.chmod(0o500)
        with opened(layout, elsewhere) as custody:
            keep(custody, entry(1))
            assert custody.lack is not None
            assert custody.lack.code == "CUSTODY_DENIED"
            elsewhere.chmod(0o700)
            await_that(lambda: custody.lack is None)


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    import subprocess

    options = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)]
    if subprocess.run(options, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


class TestHandoffFiles:
    def test_each_record_has_a_private_file_of_its_own(self, layout: Layout) -> None:
        same = [entry(7), entry(7)]
        with opened(layout, format="files") as custody:
            keep(custody, *same, entry(8))
        names = sorted(path.name for path in layout.custody.iterdir())
        digest = sha256(b"{}").hexdigest()[:16]
        assert names == [
            f"000000000007-{digest}.json",
            "000000000007.json",
            "000000000008.json",
        ]
        assert {path.stat().st_mode & 0o777 for path in layout.custody.iterdir()} == {0o600}
        content = json.loads((layout.custody / "000000000008.json").read_text())
        eight = json.loads(entry(8).original)
        assert content["anchor_fingerprint"] == eight["anchor_fingerprint"]

    def test_three_equal_records_are_three_files(self, layout: Layout) -> None:
        with opened(layout, format="files") as custody:
            keep(custody, *(entry(7) for _ in range(3)))
        assert len(list(layout.custody.iterdir())) == 3

    def test_one_that_is_kept_again_is_the_same_file(self, layout: Layout) -> None:
        again = [entry(7), entry(7), entry(7)]
        with opened(layout, format="files") as custody:
            keep(custody, *again)
            keep(custody, again[2])
        assert len(list(layout.custody.iterdir())) == 3

    def test_the_spool_gives_files_back_too(self, layout: Layout, tmp_path: Path) -> None:
        late = tmp_path / "late"
        with opened(layout, late, format="files") as custody:
            keep(custody, entry(1))
            late.mkdir()
            (late / "000000000001.json").write_text("another's")
            await_that(lambda: custody.lack is None)
        assert len(list(late.iterdir())) == 2

    def test_a_record_without_a_fingerprint_cannot_choose_its_name(self) -> None:
        from swt3_agent.protocol.handoff import handoff_names

        content = handoff("LOCAL", b"s" * 32, b'{"anchor_fingerprint":"../../x"}', b"d" * 32, 3)
        assert all(name.startswith("unidentified") for name in handoff_names(content))


class TestSettings:
    def test_readable_files_have_no_recipients(self, layout: Layout) -> None:
        with pytest.raises(ConfigError, match="readable"):
            opened(layout, format="files", recipients=("x.pub",))

    @pytest.mark.parametrize("format_", ["", "log ", "json"])
    def test_another_format_is_refused(self, layout: Layout, format_: str) -> None:
        with pytest.raises(ConfigError, match="format"):
            opened(layout, format=format_)

    @pytest.mark.parametrize("content", [None, b"no key", generate_custodian()[0]])
    def test_a_recipient_that_is_no_key_is_named(
        self, layout: Layout, tmp_path: Path, content: bytes | None
    ) -> None:
        pem = tmp_path / "bob.pub"
        if content is not None:
            pem.write_bytes(content)
        with pytest.raises(ConfigError, match=r"bob\.pub"):
            opened(layout, recipients=(str(pem),))

    def test_a_damaged_key_of_the_nodes_own_is_no_reason_to_make_another(
        self, layout: Layout
    ) -> None:
        custody_key_file(layout).write_bytes(b"damaged")
        with pytest.raises(StateError, match="custody key"):
            opened(layout)


def test_too_much_that_waits_is_refused(layout: Layout) -> None:
    huge = withheld("LOCAL", b"x" * (40 << 20), b"", 3)

    def flood(custody: Custody) -> None:
        for _ in range(100):
            custody.put([huge])

    with opened(layout) as custody:
        with pytest.raises(JournalError) as raised:
            flood(custody)
        assert (raised.value.code, raised.value.retryable) == ("CUSTODY_BUSY", True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"swt3-custody/1\n",
        b"swt3-custody/1\n\xff\xff\xff\xff",
        b"swt3-custody/1\n\x10\x00\x00\x00{}",
        b"swt3-custody/1\n\x02\x00\x00\x00{}",
        b"swt3-custody/2\n\x02\x00\x00\x00{}",
    ],
)
def test_what_is_no_custody_file_is_refused_and_closed(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.custody"
    path.write_bytes(data)
    with pytest.raises(FormatError) as raised:
        CustodyFile(path)
    assert raised.value.code == "CUSTODY_HEADER"


def test_a_frame_that_claims_to_be_huge_is_not_read(layout: Layout) -> None:
    with opened(layout) as custody:
        keep(custody, entry(1))
    (file,) = layout.custody.iterdir()
    data = file.read_bytes()
    frames = 19 + int.from_bytes(data[15:19], "little")
    file.write_bytes(data[:frames] + b"\xff\xff\xff\xff\x00" + b"x" * 100)
    kept, reading = read(file, own_key(layout))
    assert kept == []
    assert [reason.code for reason in reading.damage] == ["CUSTODY_FRAME"]
