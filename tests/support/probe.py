"""The real probe behind a socket, a process for each connection, as a service manager starts it."""

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from swt3_agent.probe.logs import PLACES, SECURITY
from swt3_agent.probe.wire import Log

PROBE = (sys.executable, "-I", "-m", "swt3_agent.probe")
PROBE_TIMEOUT_S = 60.0
NOBODY = 65534


def write_log(root: Path, log: Log, data: bytes, place: int = 0) -> Path:
    """Put ``data`` where the kernel below ``root`` would have the log."""
    path = root / SECURITY / PLACES[log][place]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A socket that listens at ``path``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        listener.listen()
        yield listener


@contextlib.contextmanager
def accepting(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """``serve`` every connection to ``path``, one after the other, in a thread."""
    over = threading.Event()
    with listening(path) as listener:

        def run() -> None:
            while not over.is_set():
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            over.set()
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
                last.connect(str(path))
            thread.join(PROBE_TIMEOUT_S)


@contextlib.contextmanager
def serve_probe(
    path: Path,
    root: Path,
    *arguments: str,
    uid: int | None = None,
    groups: Sequence[int] | None = None,
) -> Iterator[None]:
    """Answer at ``path`` from the logs below ``root``, as user ``uid`` where one is given."""

    def serve(connection: socket.socket) -> None:
        subprocess.run(
            [*PROBE, "--root", str(root), *arguments],
            stdin=connection.fileno(),
            stderr=subprocess.DEVNULL,
            user=uid,
            group=uid,
            extra_groups=groups,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )

    with accepting(path, serve):
        yield
