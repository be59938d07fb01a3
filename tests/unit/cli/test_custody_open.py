"""``custody open`` over directories as they are after crashes and changes of custodians."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.cli import custody_open
from swt3_agent.errors import FormatError
from swt3_agent.protocol.custodian import Recipient, generate_custodian, read_recipient
from swt3_agent.protocol.custody import withheld
from swt3_agent.store.custody.log_shelf import LogShelf, Source


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir()
    return tmp_path / "volume"


def custodian(directory: Path, name: str) -> Recipient:
    private, public = generate_custodian()
    (directory / name).write_bytes(private)
    return read_recipient(public)


def kept_for(volume: Path, recipient: Recipient, number: int) -> Path:
    before = set(volume.iterdir())
    shelf = LogShelf(volume, (recipient,), Source("ab" * 16, "cd" * 16))
    shelf.keep([withheld("LOCAL", b'{"factor_a":%d}' % number, b"", 3)])
    shelf.close()
    (path,) = set(volume.iterdir()) - before
    return path


def opened(
    capsys: pytest.CaptureFixture[str], key: Path, *paths: Path, out: str = "out"
) -> tuple[int, Any]:
    arguments = argparse.Namespace(
        key=key, log=None, out=key.with_name(out), paths=list(paths), json=True
    )
    code = custody_open.run(arguments)
    return code, json.loads(capsys.readouterr().out)


def test_files_for_another_custodian_do_not_hide_ours(
    tmp_path: Path, volume: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alice, bob = custodian(tmp_path, "alice"), custodian(tmp_path, "bob")
    files = [kept_for(volume, whose, n) for n, whose in enumerate((alice, bob, alice, bob))]
    code, report = opened(capsys, tmp_path / "alice", volume)
    assert (code, report["entries"]) == (4, 2)
    others = {file["file"] for file in report["files"] if file["damage"]}
    assert others == {str(files[1]), str(files[3])}
    codes = {d["code"] for file in report["files"] for d in file["damage"]}
    assert codes == {"CUSTODY_NOT_FOR_THIS_KEY"}


def test_what_is_opened_again_is_not_written_twice(
    tmp_path: Path, volume: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = custodian(tmp_path, "alice")
    for number in (1, 1, 2):  # two of them are equal, and still two
        kept_for(volume, alice, number)
    opened(capsys, tmp_path / "alice", volume)
    files = set((tmp_path / "out").iterdir())
    assert len(files) == 3
    opened(capsys, tmp_path / "alice", volume)
    assert set((tmp_path / "out").iterdir()) == files


def test_a_key_that_opens_nothing_is_refused(
    tmp_path: Path, volume: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    custodian(tmp_path, "alice")
    kept_for(volume, custodian(tmp_path, "bob"), 1)
    with pytest.raises(FormatError) as raised:
        opened(capsys, tmp_path / "alice", volume)
    assert raised.value.code == "CUSTODY_NOT_FOR_THIS_KEY"


def test_a_file_of_which_nothing_is_left_does_not_hide_the_others(
    tmp_path: Path, volume: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = custodian(tmp_path, "alice")
    kept_for(volume, alice, 1)
    (volume / "0000.custody").write_bytes(b"\0" * 4096)
    code, report = opened(capsys, tmp_path / "alice", volume)
    assert (code, report["entries"]) == (3, 1)
    assert report["files"][0]["damage"][0]["code"] == "CUSTODY_HEADER"


@pytest.mark.parametrize("length", [0, 3, 17, 60])
def test_a_file_that_was_killed_at_its_beginning_lost_nothing(
    tmp_path: Path, volume: Path, capsys: pytest.CaptureFixture[str], length: int
) -> None:
    alice = custodian(tmp_path, "alice")
    whole = kept_for(volume, alice, 1).read_bytes()
    (volume / "9999.custody").write_bytes(whole[:length])
    code, report = opened(capsys, tmp_path / "alice", volume)
    assert (code, report["entries"]) == (0, 1)
    assert report["files"][1] == {
        "file": str(volume / "9999.custody"),
        "entries": 0,
        "finished": False,
        "damage": [],
    }
