"""Custody in encrypted files: durable, private, and damage is named."""

from hashlib import sha256
from pathlib import Path

import pytest

from swt3_agent.errors import FormatError
from swt3_agent.protocol.custodian import generate_custodian, read_custodian_key
from swt3_agent.protocol.custody import withheld
from swt3_agent.store.custody.log_shelf import LogShelf
from swt3_agent.store.custody.opening import custody_key_file
from swt3_agent.store.custody.reader import CustodyFile
from swt3_agent.store.state import Layout
from tests.unit.store.custody.support import (
    SOURCE,
    await_that,
    entry,
    keep,
    opened,
    originals,
    own_key,
    read,
)


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
    found = originals(layout.custody, own_key(layout))  # two files of one millisecond have no order
    assert sorted(found) == [entry(0).original, entry(1).original]


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


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "CUSTODY_UNBEGUN"),
        (b"swt3-custody/1\n", "CUSTODY_UNBEGUN"),
        (b"swt3-custody/1\n\x10\x00\x00\x00{}", "CUSTODY_UNBEGUN"),
        (b"swt3-custody/1\n\xff\xff\xff\xff", "CUSTODY_HEADER"),
        (b"swt3-custody/1\n\x02\x00\x00\x00{}", "CUSTODY_HEADER"),
        (b"swt3-custody/2\n\x02\x00\x00\x00{}", "CUSTODY_HEADER"),
    ],
)
def test_what_is_no_custody_file_is_refused_and_closed(
    tmp_path: Path, data: bytes, code: str
) -> None:
    path = tmp_path / "x.custody"
    path.write_bytes(data)
    with pytest.raises(FormatError) as raised:
        CustodyFile(path)
    assert raised.value.code == code


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


@pytest.mark.parametrize("how", ["removed", "moved", "covered"])
def test_a_file_that_nobody_would_find_is_not_written_on(layout: Layout, how: str) -> None:
    with opened(layout) as custody:
        keep(custody, entry(1))
        (file,) = layout.custody.iterdir()
        if how == "removed":
            file.unlink()
        else:
            layout.custody.rename(layout.root / "elsewhere")
        if how == "covered":
            layout.custody.mkdir(0o700)
        keep(custody, entry(2))
        layout.custody.mkdir(0o700, exist_ok=True)
        await_that(lambda: custody.lack is None)
    found = [kept for file in layout.custody.iterdir() for kept in read(file, own_key(layout))[0]]
    assert [kept.original for kept in found] == [entry(2).original]
