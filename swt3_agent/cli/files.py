"""Files that a verb was told to write: whole, or not at all; and to read: within bounds."""

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from swt3_agent.errors import AgentError, UsageError

_ANY_MODE = 0o666


def make_directory(path: Path, mode: int = 0o777) -> None:
    """Make ``path`` with ``mode``, and what it lies in, where they are absent.

    Raises AgentError ``OUTPUT_UNWRITABLE``.
    """
    try:
        path.mkdir(mode, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise _unwritable(path, "it is there and is no directory") from error
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def read_bounded(path: Path, most: int) -> bytes:
    """The first ``most`` bytes of a file (``-``: standard input), and one more where it has more.

    Raises UsageError ``FILE_UNREADABLE``.
    """
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(most + 1)
        with path.open("rb") as stream:
            return stream.read(most + 1)
    except OSError as error:
        raise UsageError(
            "FILE_UNREADABLE", f"{path} cannot be read: {error.strerror}", remedy="check the path"
        ) from error


def write_whole(path: Path, data: bytes, mode: int = _ANY_MODE) -> None:
    """Write ``data`` so that a full disk leaves ``path`` as it was, never a part of it.

    ``mode`` less what the umask takes away is that of the file.
    What is no regular file (a device, a pipe) is written to as it stands.
    Raises AgentError ``OUTPUT_UNWRITABLE``.
    """
    try:
        target = path.resolve()  # a link stays one
        if _is_special(target):
            target.write_bytes(data)
        else:
            _put(target, data, mode, lambda temporary: temporary.rename(target))
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, until Python 3.12
        reason = getattr(error, "strerror", None) or str(error)
        raise _unwritable(path, reason) from error


def write_new(
    path: Path, data: bytes, mode: int = _ANY_MODE, *, allow_special: bool = True
) -> None:
    """Write ``data`` whole to a file that must not be there yet.

    ``mode`` and special files are as for ``write_whole``; without ``allow_special`` those are files
    that are there. Raises UsageError ``FILE_EXISTS``, AgentError ``OUTPUT_UNWRITABLE``.
    """
    try:
        if allow_special and _is_special(path):
            path.write_bytes(data)
        else:
            _put(path, data, mode, partial(_place_new, path))
    except FileExistsError as error:
        raise UsageError(
            "FILE_EXISTS",
            f"{path} is there already",
            remedy="choose another name, or move that file away if nobody needs it",
        ) from error
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _put(path: Path, data: bytes, mode: int, place: Callable[[Path], object]) -> None:
    """Through a file beside it: only what lies in the same directory can be named in one step."""
    fd, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(fd, "wb") as stream:
            stream.write(data)
            stream.flush()
            with contextlib.suppress(PermissionError):  # a stick's FAT has no modes to change
                os.fchmod(fd, mode & ~_umask())  # mkstemp's is 0600, and this is to be handed on
            os.fsync(fd)
        place(temporary)
    finally:
        temporary.unlink(missing_ok=True)


def _place_new(path: Path, temporary: Path) -> None:
    """Name it ``path``, which nobody else took; no hard link does it, for a FAT stick has none."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        temporary.rename(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    return mask


def _unwritable(path: Path, reason: str) -> AgentError:
    return AgentError(
        "OUTPUT_UNWRITABLE",
        f"{path} cannot be written: {reason}",
        remedy="name a path in a directory that is there, is yours and has room",
    )
