import hashlib
from pathlib import Path

import pytest

from swt3_agent.collect.gpu.library import describe_mapped

PROLOGUE = "7f0000000000-7f0000001000 r-xp 00000000 08:01 77 /usr/lib/libc.so.6\n"


def mapping(path: Path, inode: int | None = None) -> str:
    inode = path.stat().st_ino if inode is None else inode
    return (
        f"7f1000000000-7f1000001000 r--p 00000000 08:01 {inode}    {path}\n"
        f"7f1000001000-7f1000002000 r-xp 00001000 08:01 {inode}    {path}\n"
    )


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "a directory" / "libnvidia-ml.so.590.48.01"
    path.parent.mkdir()
    path.write_bytes(b"ELF")
    return path


def test_the_mapped_file_is_described_and_hashed(library: Path) -> None:
    found = describe_mapped(PROLOGUE + mapping(library))
    assert found.path == str(library)
    assert found.inode == str(library.stat().st_ino)
    assert found.uid == library.stat().st_uid
    assert found.sha256 == hashlib.sha256(b"ELF").hexdigest()
    assert found.consistent


def test_a_file_that_was_replaced_since_is_not_the_one_mapped(library: Path) -> None:
    assert not describe_mapped(mapping(library, inode=12345)).consistent


def test_two_libraries_of_that_name_are_told(library: Path) -> None:
    other = library.with_name("libnvidia-ml.so.1")
    other.write_bytes(b"another")
    assert not describe_mapped(mapping(library) + mapping(other)).consistent


def test_no_such_mapping_is_an_error() -> None:
    with pytest.raises(OSError, match="no such file is mapped"):
        describe_mapped(PROLOGUE)
