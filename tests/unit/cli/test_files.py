import os
import stat
from pathlib import Path

import pytest

from swt3_agent.cli.files import make_directory, write_new, write_whole
from swt3_agent.errors import AgentError, UsageError


def refusal(path: Path) -> AgentError:
    with pytest.raises(AgentError) as caught:
        write_whole(path, b"new")
    assert caught.value.code == "OUTPUT_UNWRITABLE"
    assert str(path) in caught.value.message
    return caught.value


def test_a_file_is_written_readable_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "f", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "f").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640


def test_a_file_that_is_there_is_replaced_and_a_link_to_it_stays(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"a longer old text")
    (tmp_path / "link").symlink_to("f")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "f").read_bytes() == b"new"


def test_a_full_device_is_an_error_and_stays_a_device() -> None:
    assert "No space left" in refusal(Path("/dev/full")).message
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_where_nothing_can_be_written_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    for name in ("absent/f", "directory", "file/f", "circle", "x" * 300):
        refusal(tmp_path / name)
    refusal(Path("/proc/f"))
    assert sorted(tmp_path.iterdir()) == before


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/q")):
        with pytest.raises(AgentError) as caught:
            make_directory(path)
        assert caught.value.code == "OUTPUT_UNWRITABLE"
    make_directory(tmp_path / "a" / "b")
    make_directory(tmp_path / "a" / "b")


def test_a_new_file_is_written_whole_with_its_mode(tmp_path: Path) -> None:
    write_new(tmp_path / "f", b"new", 0o600)
    assert (tmp_path / "f").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


@pytest.mark.parametrize("kind", ["file", "directory", "link", "dangling"])
def test_a_new_file_replaces_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "f"
    (tmp_path / "other").write_bytes(b"old")
    if kind == "file":
        path.write_bytes(b"old")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("other" if kind == "link" else "absent")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError) as caught:
        write_new(path, b"new")
    assert caught.value.code == "FILE_EXISTS"
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "other").read_bytes() == b"old"


def test_a_new_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    for path in (tmp_path / "absent" / "f", Path("/dev/full"), tmp_path / ("x" * 300)):
        with pytest.raises(AgentError) as caught:
            write_new(path, b"new")
        assert caught.value.code == "OUTPUT_UNWRITABLE"
    assert list(tmp_path.iterdir()) == []
