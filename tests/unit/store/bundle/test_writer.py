"""The bundle's file is whole, or is not there."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from swt3_agent.errors import AgentError
from swt3_agent.store.bundle.writer import BundleWriter


@pytest.fixture
def small_files() -> Iterator[None]:
    """A disk that has room for 64 KiB of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_is_not_finished_is_not_there(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "b.tar") as writer:
        writer.add("a", b"content")
    assert list(tmp_path.iterdir()) == []


def write(target: Path, *, reserve: bool) -> None:
    with BundleWriter(target) as writer:
        writer.add("a", b"x")
        if reserve:
            writer.reserve()
        writer.add("b", bytes(100_000))
        writer.finish()


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("reserve", [True, False])
def test_a_full_disk_leaves_nothing(tmp_path: Path, reserve: bool) -> None:
    with pytest.raises(AgentError) as refused:
        write(tmp_path / "b.tar", reserve=reserve)
    assert refused.value.code == "OUTPUT_UNWRITABLE"
    assert list(tmp_path.iterdir()) == []


def test_a_reserve_does_not_stay(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "b.tar") as writer:
        writer.add("a", b"x")
        writer.reserve()
        writer.add("b", b"y")
        writer.finish()
    assert (tmp_path / "b.tar").stat().st_size == writer.size == 6 * 512
    assert list(tmp_path.iterdir()) == [tmp_path / "b.tar"]


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "b.tar"
    with BundleWriter(target) as writer:
        target.write_text("mine")
        with pytest.raises(AgentError) as refused:
            writer.finish()
    assert refused.value.code == "OUTPUT_EXISTS"
    assert target.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [target]


def test_members_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "b.tar") as writer:
        writer.add("b", b"")
        with pytest.raises(ValueError, match="cannot follow"):
            writer.add("a", b"")


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AgentError) as refused:
        BundleWriter(tmp_path / "absent" / "b.tar")
    assert refused.value.code == "OUTPUT_UNWRITABLE"
