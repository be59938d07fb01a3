"""The socket file: who may use it, and what may be there already."""

import grp
import os
import socket
import stat
from pathlib import Path

import pytest

from swt3_agent.errors import StateError
from swt3_agent.relay.intake import listen


def _code(path: Path) -> str:
    with pytest.raises(StateError) as raised:
        listen(path).socket.close()
    assert raised.value.remedy
    return raised.value.code


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_mode_is_0660_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        listener = listen(tmp_path / "s")
    finally:
        os.umask(before)
    with listener.socket:
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660


def test_it_belongs_to_the_group_of_clients_where_there_is_one(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getgid())
    with listen(tmp_path / "s", group.gr_name).socket:
        assert (tmp_path / "s").stat().st_gid == group.gr_gid
    with listen(tmp_path / "t", "no-such-group").socket:
        assert (tmp_path / "t").exists()


def test_a_socket_left_behind_by_a_dead_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listen(path).socket.close()
    assert path.exists()
    with listen(path).socket, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_live_socket_is_left_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listen(path).socket:
        assert _code(path) == "SOCKET_IN_USE"
        assert path.exists()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    assert _code(path) == "SOCKET_NOT_OURS"
    assert path.read_text() == "precious"


def test_a_bad_path_is_named(tmp_path: Path) -> None:
    assert _code(tmp_path / ("x" * 200)) == "SOCKET_PATH"
    assert _code(tmp_path / "absent" / "s") == "SOCKET_PATH"


@pytest.mark.permissions
def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    assert _code(tmp_path / "s") == "SOCKET_DENIED"


def test_the_file_is_removed_only_while_it_is_ours(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = listen(path)
    path.unlink()
    second = listen(path)
    with first.socket, second.socket:
        first.remove_file()
        assert path.exists()
        second.remove_file()
        assert not path.exists()
