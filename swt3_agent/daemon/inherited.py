"""Sockets that a service manager opened for us (sd_listen_fds(3)).

Held by systemd they outlive a restart: who connects meanwhile waits instead of being refused, and
no other program can take the port.
"""

import ipaddress
import os
import socket
from collections.abc import Collection, MutableMapping
from contextlib import ExitStack

from swt3_agent.errors import StateError

_FIRST = 3  # after standard input, output and error
_MOST = 64


def inherited_sockets(
    environ: MutableMapping[str, str], known: Collection[str]
) -> dict[str, socket.socket]:
    """The listening sockets that were passed to this process, by name; empty where none were.

    The variables are taken out of ``environ``, so that no child takes them for its own.
    Raises StateError SOCKET_INHERITED for anything passed that is not a listening stream socket
    under a name of ``known``, each once: somebody meant it to be served. Nor is one served that a
    network reaches, or that has no file to say who may connect.
    """
    pid, count, names = (
        environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    )
    if pid != str(os.getpid()):
        return {}
    if not count.isdecimal() or int(count) > _MOST:
        raise _refused(f"LISTEN_FDS is {count[:64]!a}, not a number up to {_MOST}")
    called = names.split(":")
    called += [""] * (int(count) - len(called))
    sockets: dict[str, socket.socket] = {}
    with ExitStack() as on_refusal:
        for descriptor, name in enumerate(called[: int(count)], start=_FIRST):
            if name not in known:
                raise _refused(f"no socket of the agent is called {name[:64]!a}")
            if name in sockets:
                raise _refused(f"{name} comes twice")
            sockets[name] = on_refusal.enter_context(_listening(name, descriptor))
        on_refusal.pop_all()
    return sockets


def _listening(name: str, descriptor: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise _refused(f"{name} is no socket: {error.strerror}") from error
    try:
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listens = 0
    unix = sock.family == socket.AF_UNIX
    if sock.type != socket.SOCK_STREAM or not listens or unix == name.endswith("-tcp"):
        sock.close()
        raise _refused(f"{name} does not listen for streams of its kind")
    fault = _reached_by_others(sock.getsockname())
    if fault:
        sock.close()
        raise _refused(f"{name} {fault}")
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def _reached_by_others(address: str | bytes | tuple[str, int]) -> str:
    """What is wrong with where a socket listens; empty where nothing is."""
    if isinstance(address, tuple):
        loopback = ipaddress.ip_address(address[0]).is_loopback
        return "" if loopback else "listens on an address that is not 127.0.0.1"
    file = isinstance(address, str) and address.startswith("/")
    return "" if file else "has no file that says who may connect"


def _refused(fault: str) -> StateError:
    return StateError(
        "SOCKET_INHERITED",
        f"the service manager passed what cannot be served: {fault}",
        remedy="give the socket unit ListenStream= and the FileDescriptorName= of that socket",
    )
