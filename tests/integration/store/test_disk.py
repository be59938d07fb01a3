"""Disks that are full, small or not ours: a clear error, and nothing acknowledged is lost."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from swt3_agent.errors import JournalError
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.fsck import check
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.store.state import StateDirectory
from tests.support.disks import small_disk

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
FILL_A_LIMITED_FILE = """
import resource, sys
from pathlib import Path
from swt3_agent.errors import JournalError
from swt3_agent.protocol.record import Kind
from swt3_agent.store.journal import Draft, Journal

root = Path(sys.argv[1])
journal = Journal.open(root / "journal", root / "keys")
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, most))
records = [Draft(Kind.OPAQUE, b"{}", bytes(int(sys.argv[2])))]
try:
    while True:
        journal.append(records).result()
except JournalError as error:
    print(journal.size, error.code, error.retryable)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
journal.append([Draft(Kind.OPAQUE, b"{}", b"fits")]).result()
print(journal.size)
"""

OPEN_STATE = """
import sys
from pathlib import Path
from swt3_agent.errors import AgentError
from swt3_agent.store.state import StateDirectory

try:
    StateDirectory.open(Path(sys.argv[1])).close()
except AgentError as error:
    print(error.code)
else:
    print("opened")
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "3m") as mounted:
        yield mounted


def fill(journal: Journal, size: int) -> JournalError:
    """Append records of ``size`` bytes until the disk refuses one; why it did."""
    while True:
        refused = journal.append([Draft(Kind.OPAQUE, b"{}", bytes(size))]).exception()
        if refused is not None:
            assert isinstance(refused, JournalError)
            return refused


@needs_root
@pytest.mark.parametrize("size", [700, 50_000, 400_000])
def test_a_full_disk_refuses_and_keeps_and_takes_again_when_there_is_room(
    disk: Path, size: int
) -> None:
    root = disk / "state"
    StateDirectory.open(root).close()
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(300_000))
    with (
        Journal.open(root / "journal", root / "keys") as journal,
        Catalogue.open(root / "catalogue.db", journal) as catalogue,
    ):
        first = journal.append([Draft(Kind.RELAYED, b"{}", b"first")]).result()
        refused = fill(journal, size)
        assert (refused.code, refused.retryable) == ("DISK_FULL", True)
        kept = journal.size
        root_before = journal.root(kept)
        ballast.unlink()
        assert journal.append([Draft(Kind.RELAYED, b"{}", b"again")]).result().first_seq == kept
        catalogue.catch_up()
    with Journal.open(root / "journal", root / "keys") as journal:
        assert journal.recovered is None
        assert journal.size == kept + 1
        assert journal.root(kept) == root_before
        assert journal.read(first.first_seq).payload == b"first"
        assert journal.read(kept).payload == b"again"
    assert check(root) == []


@needs_root
def test_a_state_directory_on_a_full_disk_is_refused_with_its_reason(disk: Path) -> None:
    (disk / "ballast").write_bytes(bytes(2_900_000))
    root = disk / "state"
    with pytest.raises(OSError, match="No space"), (disk / "last").open("wb") as file:
        file.write(bytes(1_000_000))
    result = subprocess.run(
        [sys.executable, "-c", OPEN_STATE, str(root)], capture_output=True, text=True, check=True
    )
    assert result.stdout == "STATE_FULL\n"


@pytest.mark.parametrize("size", [700, 400_000])
def test_a_limit_on_file_size_is_a_full_disk_too(tmp_path: Path, size: int) -> None:
    StateDirectory.open(tmp_path).close()
    result = subprocess.run(
        [sys.executable, "-c", FILL_A_LIMITED_FILE, str(tmp_path), str(size)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    kept, code, retryable, after = result.stdout.split()
    assert (code, retryable) == ("DISK_FULL", "True")
    assert int(kept) >= 3_000_000 // (size + 1000)
    assert int(after) == int(kept) + 1
    with Journal.open(tmp_path / "journal", tmp_path / "keys") as journal:
        assert (journal.size, journal.recovered) == (int(after), None)
        assert journal.read(int(kept)).payload == b"fits"
    assert check(tmp_path) == []


@needs_root
def test_a_read_only_file_system_is_named(disk: Path) -> None:
    root = disk / "state"
    StateDirectory.open(root).close()
    remount = ["mount", "-o", "remount,ro", str(disk)]
    subprocess.run(remount, check=True)
    result = subprocess.run(
        [sys.executable, "-c", OPEN_STATE, str(root)], capture_output=True, text=True, check=True
    )
    assert result.stdout == "STATE_READ_ONLY\n"
