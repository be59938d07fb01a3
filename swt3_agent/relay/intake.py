"""The intake: a Unix socket on which inference processes hand in their anchors.

docs/formats.md, "Intake". A listener is an identity: all that arrives on this socket is of one
tenant. The path of a request: ``connection`` receives it and keeps the order, ``request`` cuts it
out of the stream and takes it apart, ``reception`` hands it on, ``batches`` and ``judgement``
decide on its records, ``submissions`` stores them once and answers in time, ``sentinel`` answers
what sentinel clients ask. What connections share is in ``sharing``.
"""

import asyncio
import errno
import grp
import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from swt3_agent.errors import StateError
from swt3_agent.relay.connection import RECEIVE_BYTES, Connection, Shared
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.relay.judgement import Rules
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.reception import Reception
from swt3_agent.relay.sentinel import Sentinel, SentinelSettings
from swt3_agent.relay.sharing import Admission, InputPool, Turns
from swt3_agent.relay.sink import RecordSink
from swt3_agent.relay.submissions import Submissions

CLIENT_GROUP = "swt3-clients"
BACKLOG = 1024
_ACCEPTS_PER_TURN = 16
"""asyncio accepts as many at once as it is told to have waiting: a thousand would stop the others
for a tenth of a second."""
_LONGEST_PATH = 107  # unix(7): sun_path is 108 bytes with its terminating null
_MODE = 0o660

_TURNS_OF_AN_ACCEPT = 4
"""Of the loop, until what was accepted is a connection."""

_PATIENCE_S = 1.0
"""How long a stop waits for peers to take their last answers."""


class IntakeServer:
    """One listening socket. ``start`` and ``stop`` it in the event loop that shall serve it.

    ``inherited`` is a socket that listens already, from a service manager; its file is left alone.
    """

    def __init__(
        self,
        path: Path,
        sink: RecordSink,
        *,
        tenant: str,
        clearing_level: int,
        drop_guardrail_names: bool = False,
        limits: IntakeLimits | None = None,
        listener: str = "intake",
        sentinel: SentinelSettings | None = None,
        inherited: socket.socket | None = None,
    ) -> None:
        self.path = path
        self.counters = IntakeCounters()
        self._sink = sink
        self._rules = Rules(tenant, clearing_level, limits or IntakeLimits(), drop_guardrail_names)
        self._listener = listener
        self._settings = sentinel or SentinelSettings()
        self._sentinel: Sentinel | None = None
        self._inherited = inherited
        self._file: Listener | None = None
        self._server: asyncio.Server | None = None
        self._shared: Shared | None = None

    @property
    def tenant(self) -> str:
        """Whose records come in here."""
        return self._rules.tenant

    async def start(self) -> None:
        """Listen. Raises StateError as :func:`swt3_agent.relay.intake.listen` does."""
        sock = self._inherited
        if sock is None:
            self._file = listen(self.path)
            sock = self._file.socket
        shared = self._shared = self._share()
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(shared),
            sock=sock,
            backlog=_ACCEPTS_PER_TURN,
        )
        sock.listen(BACKLOG)

    def reconfigure(self, clearing_level: int, sentinel: SentinelSettings) -> None:
        """Hold what arrives from now on to these; call it in the loop that serves.

        The level is never lowered. Raises ConfigError for a tool policy that cannot be meant, and
        then changes nothing.
        """
        if self._sentinel is not None:
            self._sentinel.go_by(sentinel)
        self._settings = sentinel
        self._rules = replace(self._rules, level=max(clearing_level, self._rules.level))
        if self._shared is not None:
            self._shared.submissions.raise_level(clearing_level)

    async def stop(self) -> None:
        """Accept nothing more, answer what is in flight, and close."""
        if self._server is None or self._shared is None:
            return
        if self._file is not None:
            self._file.remove_file()
        await stop_accepting(self._server)
        for connection in list(self._shared.admission):
            connection.finish()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._shared.admission.until_empty(), _PATIENCE_S)
        for connection in list(self._shared.admission):
            connection.abort()
        await self._shared.admission.until_empty()
        self._shared.submissions.close()
        self._server = self._shared = self._file = None

    def _share(self) -> Shared:
        limits = self._rules.limits
        loop = asyncio.get_running_loop()
        submissions = Submissions(self._sink, self._rules, self.counters)
        sentinel = self._sentinel = Sentinel(self._settings, submissions, self.counters)
        return Shared(
            listener=self._listener,
            tenant=self._rules.tenant,
            limits=limits,
            buffer=memoryview(bytearray(RECEIVE_BYTES)),
            admission=Admission(limits.connections()),
            pool=InputPool(limits.max_buffered_bytes),
            turns=Turns(loop, limits.turn_budget_s),
            submissions=submissions,
            reception=Reception(limits, submissions, sentinel, self.counters),
            counters=self.counters,
        )


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening, non-blocking socket, and the file that it is reached by."""

    socket: socket.socket
    path: Path
    inode: int

    def remove_file(self) -> None:
        """Remove the socket file unless another one has taken its place."""
        with suppress(OSError):
            if self.path.lstat().st_ino == self.inode:
                self.path.unlink()


async def stop_accepting(server: asyncio.Server) -> None:
    """Close ``server`` once what it accepted is a connection: one that is accepted while its server
    closes is forgotten by asyncio, and stays open."""
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    for _ in range(_TURNS_OF_AN_ACCEPT):
        await asyncio.sleep(0)
    server.close()


def listen(path: Path, group: str = CLIENT_GROUP) -> Listener:
    """Listen on a Unix socket at ``path``, mode 0660.

    It belongs to ``group`` where that exists and this process may give it away. A socket that a
    dead process left behind is replaced.

    Raises StateError: SOCKET_PATH (too long, or no such directory), SOCKET_IN_USE (somebody
    answers there), SOCKET_NOT_OURS (something else is there), SOCKET_DENIED.
    """
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise StateError(
            "SOCKET_PATH",
            f"the socket path {path} is longer than {_LONGEST_PATH} bytes",
            remedy="choose a shorter path, such as one under /run",
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        _remove_stale(path)
        # The mode of the socket file is that of the socket, less the umask: it is never wider
        # than it shall be, and no umask is touched.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(os.fspath(path))
        _give_to(path, group)
        path.chmod(_MODE)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        return Listener(listener, path, path.lstat().st_ino)
    except OSError as error:
        listener.close()
        raise _refused(path, error) from error
    except BaseException:
        listener.close()
        raise


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StateError(
            "SOCKET_NOT_OURS",
            f"{path} exists and is no socket",
            remedy="move it away, or choose another socket path",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        answer = probe.connect_ex(os.fspath(path))
    if answer in (0, errno.EAGAIN, errno.EINPROGRESS):
        raise StateError(
            "SOCKET_IN_USE",
            f"another process listens at {path}",
            remedy="stop the other agent, or give this one a socket path of its own",
        )
    if answer == errno.ECONNREFUSED:
        path.unlink(missing_ok=True)
    elif answer != errno.ENOENT:
        raise OSError(answer, os.strerror(answer))


def _give_to(path: Path, group: str) -> None:
    with suppress(KeyError, PermissionError):  # without the group only our own users may connect
        os.chown(path, -1, grp.getgrnam(group).gr_gid)


def _refused(path: Path, error: OSError) -> StateError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return StateError(
            "SOCKET_PATH",
            f"the directory {path.parent} does not exist",
            remedy="create it, or choose another socket path",
        )
    return StateError(
        "SOCKET_DENIED",
        f"no socket can be made at {path}: {error.strerror}",
        remedy="give the agent's user write permission on the directory, or choose another path",
    )
