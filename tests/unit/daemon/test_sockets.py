import os
import stat
from pathlib import Path

import pytest

from swt3_agent.config import load_config
from swt3_agent.daemon.sockets import make_runtime_directory, open_sockets
from swt3_agent.errors import StateError


def test_the_runtime_directory_is_open_to_those_who_go_through_it(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        for _ in range(2):
            make_runtime_directory(tmp_path / "run")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755


def test_where_it_cannot_be_made_the_remedy_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(StateError) as caught:
        make_runtime_directory(tmp_path / "absent" / "run")
    assert caught.value.code == "SOCKET_PATH"
    assert "SWT3_AGENT_SOCKET" in caught.value.remedy


def test_both_sockets_or_none(tmp_path: Path) -> None:
    config = load_config({"SWT3_AGENT_SOCKET": str(tmp_path / "intake.sock")})
    with open_sockets(config):
        assert {path.name for path in tmp_path.iterdir()} == {"intake.sock", "control.sock"}
    assert not list(tmp_path.iterdir())
    (tmp_path / "control.sock").write_text("mine")
    with pytest.raises(StateError), open_sockets(config):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["control.sock"]
