import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from swt3_agent.config import Config, load_config
from swt3_agent.config.settings import HttpSettings
from swt3_agent.daemon.bearer_token import read_token
from swt3_agent.daemon.sockets import listen_on_loopback, make_runtime_directory, open_sockets
from swt3_agent.errors import ConfigError, StateError


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


ALL = {"intake.sock", "control.sock", "http.sock", "ops.sock"}


def config_in(directory: Path, **http: object) -> Config:
    config = load_config({"SWT3_AGENT_SOCKET": str(directory / "intake.sock")})
    return replace(config, http=HttpSettings(**http))  # type: ignore[arg-type]  # a test's shorthand


def test_all_sockets_or_none(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    with open_sockets(config, {}):
        assert {path.name for path in tmp_path.iterdir()} == ALL
    assert not list(tmp_path.iterdir())
    (tmp_path / "control.sock").write_text("mine")
    with pytest.raises(StateError), open_sockets(config, {}):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["control.sock"]


def test_http_can_be_switched_off(tmp_path: Path) -> None:
    with open_sockets(config_in(tmp_path, socket=""), {}) as sockets:
        assert sockets.http is None
        assert {path.name for path in tmp_path.iterdir()} == ALL - {"http.sock"}


def test_tcp_is_loopback_only_and_says_who_else_holds_the_port(tmp_path: Path) -> None:
    with listen_on_loopback(0) as taken:
        address, port = taken.getsockname()
        assert address == "127.0.0.1"
        with pytest.raises(StateError) as caught, open_sockets(config_in(tmp_path, port=port), {}):
            pass
    assert caught.value.code == "SOCKET_IN_USE"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "short", "axm_" + "ä" * 20, "axm_ 0123456789abcdef"])
def test_tcp_without_a_token_is_refused_before_anything_is_recorded(
    text: str, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    for settings in (HttpSettings(), HttpSettings(token_file=str(token))):
        with pytest.raises(ConfigError):
            read_token(settings)
    token.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_token(HttpSettings(token_file=str(token)))
    assert not text or text not in caught.value.message


def test_the_token_is_what_the_file_holds_but_for_white_space(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(" axm_0123456789abcdef\n")
    assert read_token(HttpSettings(token_file=str(token))) == "axm_0123456789abcdef"
