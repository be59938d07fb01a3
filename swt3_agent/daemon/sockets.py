"""The sockets of the daemon, listening before anything is recorded: a start that cannot succeed
leaves nothing in the log."""

import errno
import os
import socket
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from swt3_agent.config import DEFAULT_SOCKET, Config
from swt3_agent.daemon.bearer_token import read_token
from swt3_agent.daemon.control import OPERATORS
from swt3_agent.daemon.inherited import inherited_sockets
from swt3_agent.errors import StateError
from swt3_agent.relay.intake import BACKLOG, CLIENT_GROUP, Listener, listen

RUNTIME_DIRECTORY = DEFAULT_SOCKET.parent
LOOPBACK = "127.0.0.1"
NAMES = ("intake", "http", "control", "ops", "http-tcp", "ops-tcp")
"""As socket units call them (FileDescriptorName=)."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """All listen: what connects waits until it is served. None where one is switched off.

    ``tenants`` are those of ``agent.listeners``, by name.
    ``http_token`` is what clients of ``http_tcp`` must show.
    """

    intake: Listener
    tenants: Mapping[str, Listener]
    control: Listener
    http: Listener | None
    ops: Listener | None
    http_tcp: socket.socket | None
    ops_tcp: socket.socket | None
    http_token: str | None = field(repr=False)


@contextmanager
def open_sockets(
    config: Config, environ: MutableMapping[str, str] = os.environ
) -> Iterator[Sockets]:
    """The sockets that ``config`` names; they and their files are gone afterwards.

    One that a service manager passed stands for the configured one; its file is left alone.
    Raises StateError as :func:`swt3_agent.relay.intake.listen` and
    :func:`swt3_agent.daemon.inherited.inherited_sockets` do, ConfigError where HTTP on TCP has no
    token.
    """
    with ExitStack() as closing:
        tenants = {one.name: one for one in config.listeners}
        known = (*NAMES, *map(tenant_socket, tenants))
        passed = inherited_sockets(environ, known)
        for sock in passed.values():
            closing.callback(sock.close)

        def unix(name: str, path: Path, group: str) -> Listener:
            if name in passed:
                return Listener(passed[name], Path(passed[name].getsockname()), inode=0)
            if path.parent == RUNTIME_DIRECTORY:
                make_runtime_directory(RUNTIME_DIRECTORY)
            listener = listen(path, group)
            closing.callback(_close, listener)
            return listener

        def chosen(name: str, path: Path | None, group: str) -> Listener | None:
            if path is None and name not in passed:
                return None
            return unix(name, path or Path(), group)

        def tcp(name: str, port: int | None) -> socket.socket | None:
            if name in passed or port is None:
                return passed.get(name)
            sock = listen_on_loopback(port)
            closing.callback(sock.close)
            return sock

        http_tcp = tcp("http-tcp", config.http.port)
        yield Sockets(
            intake=unix("intake", config.socket, CLIENT_GROUP),
            tenants={
                name: unix(tenant_socket(name), Path(one.socket), CLIENT_GROUP)
                for name, one in tenants.items()
            },
            control=unix("control", config.control_socket, OPERATORS),
            http=chosen("http", config.http_socket, CLIENT_GROUP),
            ops=chosen("ops", config.ops_socket, OPERATORS),
            http_tcp=http_tcp,
            ops_tcp=tcp("ops-tcp", config.ops.port),
            http_token=None if http_tcp is None else read_token(config.http),
        )


def tenant_socket(listener: str) -> str:
    """The name of the socket unit's descriptor for one of ``agent.listeners``."""
    return f"intake-{listener}"


def listen_on_loopback(port: int) -> socket.socket:
    """Listen on 127.0.0.1, never on an address that a network reaches.

    Raises StateError SOCKET_IN_USE or SOCKET_DENIED.
    """
    try:
        sock = socket.create_server((LOOPBACK, port), backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StateError(
                "SOCKET_IN_USE",
                f"another program listens on {LOOPBACK}:{port}",
                remedy="stop it, or choose another port",
            ) from error
        raise StateError(
            "SOCKET_DENIED",
            f"{LOOPBACK}:{port} cannot be listened on: {error.strerror}",
            remedy="choose a port above 1023 that nobody uses",
        ) from error
    sock.setblocking(False)
    return sock


def make_runtime_directory(directory: Path) -> None:
    """Make the directory of the default sockets, 0755, where nobody made it.

    Raises StateError SOCKET_PATH where we may not.
    """
    try:
        directory.mkdir()
        directory.chmod(0o755)  # whatever the umask: inference processes of any user go through it
    except FileExistsError:
        return
    except OSError as error:
        raise StateError(
            "SOCKET_PATH",
            f"the directory {directory} does not exist and cannot be made: {error.strerror}",
            remedy="start the agent as a service with RuntimeDirectory=swt3-agent, or set "
            "SWT3_AGENT_SOCKET (agent.socket) to a path in a directory of yours",
        ) from error


def _close(listener: Listener) -> None:
    listener.remove_file()
    listener.socket.close()
