"""Between an agent and its software TPM: slow commands down, hold them, or lose them."""

import contextlib
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path

_HEADER = struct.Struct(">HII")  # tag, size, command or response code (TPM 2.0 Part 1, 18)
_PATIENCE_S = 60.0


class Command(IntEnum):
    """Command codes (TPM 2.0 Part 2, 6.5.2)."""

    PCR_EXTEND = 0x182
    NV_INCREMENT = 0x134
    NV_CERTIFY = 0x184
    CERTIFY = 0x148
    QUOTE = 0x158
    SIGN = 0x15D


SIGNING = frozenset({Command.QUOTE, Command.NV_CERTIFY, Command.CERTIFY, Command.SIGN})


class LostError(Exception):
    """Raised by a hook: the connection breaks, with the command or its answer."""


def _nothing(_: int) -> None:
    """A hook that lets everything pass."""


class TpmProxy:
    """Listens at ``path`` for one agent and passes everything on to the TPM at ``behind``.

    ``before`` is called with the code of each command that comes, ``after`` once it was done and
    before its answer is passed on: they may wait, do harm, or raise ``LostError``.
    """

    def __init__(self, path: Path, behind: Path) -> None:
        self.before: Callable[[int], None] = _nothing
        self.after: Callable[[int], None] = _nothing
        self._path = path
        self.behind = behind
        self._closing = contextlib.ExitStack()
        self._over, self._wake = os.pipe()

    @property
    def tcti(self) -> str:
        return f"swtpm:path={self._path}"

    def __enter__(self) -> "TpmProxy":
        commands = threading.Thread(target=self._serve, args=("", self._pass_command))
        control = threading.Thread(target=self._serve, args=(".ctrl", self._pass_all))
        self._listeners = {
            suffix: self._closing.enter_context(_listening(f"{self._path}{suffix}"))
            for suffix in ("", ".ctrl")
        }
        self._threads = (commands, control)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._wake)  # whoever waits for this pipe or a socket wakes up
        for thread in self._threads:
            thread.join(_PATIENCE_S)
        os.close(self._over)
        self._closing.close()

    def _serve(self, suffix: str, serve: Callable[[socket.socket, socket.socket], None]) -> None:
        listener = self._listeners[suffix]
        while self._readable(listener):
            ours, _ = listener.accept()
            with (
                ours,
                contextlib.suppress(OSError, EOFError, LostError),
                socket.socket(socket.AF_UNIX) as theirs,
            ):
                theirs.connect(f"{self.behind}{suffix}")
                serve(ours, theirs)

    def _pass_command(self, ours: socket.socket, theirs: socket.socket) -> None:
        while self._readable(ours):
            command = _read_frame(ours)
            code = _HEADER.unpack_from(command)[2]
            self.before(code)
            theirs.sendall(command)
            answer = _read_frame(theirs)
            self.after(code)
            ours.sendall(answer)

    def _pass_all(self, ours: socket.socket, theirs: socket.socket) -> None:
        peers = {ours: theirs, theirs: ours}
        while True:
            for source in self._all_readable(*peers):
                piece = source.recv(4096)
                if not piece:
                    return
                peers[source].sendall(piece)

    def _readable(self, sock: socket.socket) -> bool:
        """Wait for it; False once this is over."""
        try:
            return bool(self._all_readable(sock))
        except EOFError:
            return False

    def _all_readable(self, *socks: socket.socket) -> list[socket.socket]:
        numbers = {sock.fileno(): sock for sock in socks}
        ready, _, _ = select.select([self._over, *numbers], [], [])
        if self._over in ready:
            raise EOFError
        return [numbers[number] for number in ready]


@contextlib.contextmanager
def _listening(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        yield listener


def _read_frame(sock: socket.socket) -> bytes:
    sock.settimeout(_PATIENCE_S)
    frame = _read(sock, _HEADER.size)
    return frame + _read(sock, _HEADER.unpack(frame)[1] - _HEADER.size)


def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


class Gate:
    """A hook that holds every command of ``codes`` while it is closed."""

    def __init__(self, *codes: int) -> None:
        self._codes = codes
        self._open = threading.Event()
        self._open.set()
        self._reached = threading.Event()

    def __call__(self, code: int) -> None:
        if code in self._codes:
            if not self._open.is_set():
                self._reached.set()
            self._open.wait(_PATIENCE_S)

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Hold them until the end."""
        self._reached.clear()
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def await_held(self) -> None:
        """Wait until one is held."""
        assert self._reached.wait(_PATIENCE_S), "no such command came"


class Once:
    """A hook that does ``act`` at the next command ``code`` after ``arm``."""

    def __init__(self, code: int, act: Callable[[], None]) -> None:
        self._code = code
        self._act = act
        self._armed = threading.Event()
        self.done = threading.Event()

    def __call__(self, code: int) -> None:
        if code == self._code and self._armed.is_set():
            self._armed.clear()
            self.done.set()
            self._act()

    def arm(self) -> None:
        """From now on."""
        self._armed.set()
