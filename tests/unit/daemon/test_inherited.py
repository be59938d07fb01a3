"""Sockets passed as a service manager passes them, in a process of their own."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

# What systemd does between fork and exec: descriptors from 3 on, and the pid that they are for.
EXEC = """
import os, sys
count, names, pid, *command = sys.argv[1:]
os.environ.update(LISTEN_FDS=count, LISTEN_FDNAMES=names)
os.environ["LISTEN_PID"] = pid or str(os.getpid())
os.execv(command[0], command)
"""

SHOW = """
import json, os
from dataclasses import replace
from swt3_agent.config import load_config
from swt3_agent.config.settings import HttpSettings
from swt3_agent.daemon.sockets import open_sockets
from swt3_agent.errors import AgentError
config = load_config({"SWT3_AGENT_SOCKET": os.environ["INTAKE"]})
if token := os.environ.get("TOKEN"):
    config = replace(config, http=HttpSettings(token_file=token))
try:
    with open_sockets(config) as sockets:
        print(json.dumps({
            "intake": str(sockets.intake.path),
            "control": str(sockets.control.path),
            "http_tcp": sockets.http_tcp and sockets.http_tcp.getsockname(),
            "inheritable": sockets.intake.socket.get_inheritable(),
            "left": [name for name in os.environ if name.startswith("LISTEN_")],
        }))
except AgentError as error:
    print(json.dumps({"code": error.code, "message": error.message}))
"""


def passing(
    descriptors: Sequence[int], names: str, directory: Path, *, pid: str = ""
) -> dict[str, Any]:
    """What a child that is handed ``descriptors`` from 3 on makes of them."""
    spares = [os.dup2(number, 100 + place) for place, number in enumerate(descriptors)]
    script = "".join(f"os.dup2({spare}, {3 + place});" for place, spare in enumerate(spares))
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import os;" + script + EXEC,
                str(len(descriptors)),
                names,
                pid,
                sys.executable,
                "-c",
                SHOW,
            ],
            pass_fds=spares,
            env={**os.environ, "INTAKE": str(directory / "intake.sock")},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    finally:
        for spare in spares:
            os.close(spare)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def held(tmp_path: Path) -> Any:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(tmp_path / "held.sock"))
        sock.listen()
        yield sock


def test_a_passed_socket_stands_for_the_configured_one(
    held: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("axm_0123456789abcdef\n")
    with socket.create_server(("127.0.0.1", 0)) as port:
        both = [held.fileno(), port.fileno()]
        unguarded = passing(both, "intake:http-tcp", tmp_path)
        assert unguarded["code"] == "CONFIG_VALUE"
        monkeypatch.setenv("TOKEN", str(tmp_path / "token"))
        seen = passing(both, "intake:http-tcp", tmp_path)
        assert seen["http_tcp"] == list(port.getsockname())
    assert seen["intake"] == str(tmp_path / "held.sock")
    assert seen["control"] == str(tmp_path / "control.sock")
    assert (seen["inheritable"], seen["left"]) == (False, [])
    assert {path.name for path in tmp_path.iterdir()} == {"held.sock", "token"}  # left alone


def test_what_was_meant_for_another_process_is_not_taken(
    held: socket.socket, tmp_path: Path
) -> None:
    seen = passing([held.fileno()], "intake", tmp_path, pid="1")
    assert (seen["intake"], seen["left"]) == (str(tmp_path / "intake.sock"), [])


@pytest.mark.parametrize("names", ["", "nonsense", "intake-tcp", "http-tcp"])
def test_a_socket_that_nobody_would_serve_is_refused(
    names: str, held: socket.socket, tmp_path: Path
) -> None:
    assert passing([held.fileno()], names, tmp_path)["code"] == "SOCKET_INHERITED"


def test_what_does_not_listen_is_refused(tmp_path: Path) -> None:
    with tempfile.TemporaryFile() as file, socket.socket(socket.AF_UNIX) as deaf:
        for descriptor in (file.fileno(), deaf.fileno()):
            assert passing([descriptor], "intake", tmp_path)["code"] == "SOCKET_INHERITED"


def test_a_name_twice_is_refused(held: socket.socket, tmp_path: Path) -> None:
    both = [held.fileno(), held.fileno()]
    assert passing(both, "intake:intake", tmp_path)["code"] == "SOCKET_INHERITED"


@pytest.mark.parametrize(("family", "host"), [("AF_INET", "0.0.0.0"), ("AF_INET6", "::")])  # noqa: S104  # what must be refused
def test_a_port_that_a_network_reaches_is_refused(family: str, host: str, tmp_path: Path) -> None:
    if family == "AF_INET6" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with socket.create_server((host, 0), family=getattr(socket, family)) as port:
        seen = passing([port.fileno()], "ops-tcp", tmp_path)
    assert seen["code"] == "SOCKET_INHERITED"
    assert "127.0.0.1" in seen["message"]


def test_a_socket_without_a_file_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind("")  # the kernel chooses an abstract name: anybody may connect
        sock.listen()
        assert passing([sock.fileno()], "control", tmp_path)["code"] == "SOCKET_INHERITED"
