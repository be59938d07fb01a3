"""Files that must survive a power cut, and the errors that mean "the disk is full"."""

import errno
import os
import threading
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
TEMPORARY_SUFFIX = ".tmp"

_OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_out_of_space(error: OSError) -> bool:
    """Whether ``error`` goes away when room is made: disk full, quota, or a file size limit."""
    return error.errno in _OUT_OF_SPACE


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable: a synced file can still lose its name."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data`` at ``offset``. Raises OSError; what was written before it stays."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def read_exactly(fd: int, size: int, offset: int) -> bytes:
    """``size`` bytes from ``offset``; fewer only where the file ends first."""
    data = os.pread(fd, size, offset)
    if len(data) == size:
        return data
    parts = [data]
    missing = size - len(data)
    while missing and parts[-1]:
        parts.append(os.pread(fd, missing, offset + size - missing))
        missing -= len(parts[-1])
    return b"".join(parts)


def write_durably(path: Path, data: bytes) -> None:
    """Write a whole private file so that, after any crash, it is absent or complete.

    Raises OSError; then it is absent, or complete and not yet sure to be there after a power cut.
    """
    # A name of its own for each thread: two may store the same content at once.
    temporary = path.with_name(f".{path.name}.{threading.get_ident()}{TEMPORARY_SUFFIX}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            write_all(fd, data, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
