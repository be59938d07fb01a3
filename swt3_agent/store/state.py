"""The state directory: its layout, its version and the lock that lets one daemon write to it.

    VERSION lock journal/ journal.high-water custody/ evidence/ keys/ catalogue.db machine-id

(docs/formats.md, "State")

Everything in it is private: directories 0700, files 0600.
"""

import errno
import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from swt3_agent.errors import StateError
from swt3_agent.store.durable import (
    PRIVATE_DIRECTORY,
    PRIVATE_FILE,
    TEMPORARY_SUFFIX,
    is_out_of_space,
    sync_directory,
    write_durably,
)

STATE_VERSION = 1

_SUBDIRECTORIES = ("journal", "custody", "evidence", "keys")
_BEFORE_VERSION = frozenset({"lock", *_SUBDIRECTORIES})
_HOLDER_SIZE = 1024  # fixed, so that a reader never sees half of an old and half of a new text
_PEEK_GRACE_S = 0.02  # a ``peek`` holds the lock for microseconds: not a reason to refuse a start


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a state directory: what it wrote into the lock file, None where not yet written.

    ``control`` is the path of its control socket.
    """

    pid: int | None
    control: str | None


class Layout:
    """Where things lie in the state directory ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def version(self) -> Path:
        """The version of the layout, as text."""
        return self.root / "VERSION"

    @property
    def lock(self) -> Path:
        """Locked while an agent runs; says which."""
        return self.root / "lock"

    @property
    def journal(self) -> Path:
        """Segments of the log."""
        return self.root / "journal"

    @property
    def custody(self) -> Path:
        """What clearing removed."""
        return self.root / "custody"

    @property
    def custody_spool(self) -> Path:
        """What clearing removed while its place could not be written; absent otherwise."""
        return self.root / "custody-spool"

    @property
    def evidence(self) -> Path:
        """Raw collector output by SHA-256."""
        return self.root / "evidence"

    @property
    def keys(self) -> Path:
        """Segment keys and the attestation key's blobs."""
        return self.root / "keys"

    @property
    def catalogue(self) -> Path:
        """The index over the journal; may be deleted while no agent runs."""
        return self.root / "catalogue.db"


class StateDirectory:
    """A state directory held for writing. Close it, or use it as a context manager."""

    def __init__(self, root: Path, lock_fd: int) -> None:
        self.layout = Layout(root)
        self._lock_fd = lock_fd

    @classmethod
    def open(cls, path: Path) -> "StateDirectory":
        """Create ``path`` where it is absent, and take it.

        Raises StateError: ``STATE_LOCKED`` (another daemon runs on it), ``STATE_NOT_OURS``
        (another user's, or a directory with other things in it), ``STATE_VERSION`` (written by a
        newer version), ``STATE_DENIED``, ``STATE_READ_ONLY``, ``STATE_FULL``, ``STATE_UNUSABLE``.
        """
        layout = Layout(path)
        try:
            path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            _check_ownership(path)
            lock_fd = _take_lock(layout)
        except OSError as error:
            raise _state_error(path, error) from error
        state = cls(path, lock_fd)
        try:
            _settle(layout)
            state._write_holder(None)
        except OSError as error:
            state.close()
            raise _state_error(path, error) from error
        except StateError:
            state.close()
            raise
        return state

    @staticmethod
    def peek(path: Path) -> Holder | None:
        """Who runs on the state directory ``path``; None where nobody does. Changes nothing.

        Raises StateError as ``open`` does.
        """
        try:
            fd = os.open(Layout(path).lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _state_error(path, error) from error
        try:
            if _try_flock(fd, fcntl.LOCK_SH):
                return None
            return _parse_holder(os.pread(fd, _HOLDER_SIZE, 0))
        finally:
            os.close(fd)

    def set_control(self, path: Path) -> None:
        """Tell commands where the control socket is."""
        self._write_holder(str(path))

    def close(self) -> None:
        """Give the state directory back."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def __enter__(self) -> "StateDirectory":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _write_holder(self, control: str | None) -> None:
        text = json.dumps({"pid": os.getpid(), "control": control}).encode()
        try:
            os.pwrite(self._lock_fd, text.ljust(_HOLDER_SIZE - 1) + b"\n", 0)
        except OSError as error:
            raise _state_error(self.layout.root, error) from error


def existing_layout(path: Path) -> Layout:
    """Where things lie in a state directory that must be there already.

    Raises StateError ``STATE_ABSENT`` where it is not, ``STATE_DENIED`` where it cannot be seen.
    """
    layout = Layout(path)
    try:
        layout.version.stat()
    except FileNotFoundError:
        raise StateError(
            "STATE_ABSENT",
            f"there is no agent state in {path}",
            remedy="start the agent with `swt3-agent run`, or name its state directory",
        ) from None
    except OSError as error:
        raise _state_error(path, error) from error
    return layout


def _check_ownership(path: Path) -> None:
    """Refuse a directory that is not ours: agents do not litter in other people's directories."""
    if path.stat().st_uid != os.geteuid():
        raise StateError(
            "STATE_NOT_OURS",
            f"{path} belongs to uid {path.stat().st_uid}, and this agent runs as {os.geteuid()}",
            remedy=f"run it as the owner (sudo -u '#{path.stat().st_uid}' swt3-agent …), or name "
            "a state directory of its own with SWT3_STATE_DIR (agent.state_dir)",
        )
    names = {entry.name for entry in path.iterdir() if entry.suffix != TEMPORARY_SUFFIX}
    if "VERSION" not in names and not names <= _BEFORE_VERSION:
        raise StateError(
            "STATE_NOT_OURS",
            f"{path} is not empty and holds no agent state",
            remedy="name an empty or absent directory as the state directory",
        )


def _take_lock(layout: Layout) -> int:
    fd = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    taken = _try_flock(fd, fcntl.LOCK_EX)
    if not taken:
        time.sleep(_PEEK_GRACE_S)
        taken = _try_flock(fd, fcntl.LOCK_EX)
    if taken:
        return fd
    holder = _parse_holder(os.pread(fd, _HOLDER_SIZE, 0))
    os.close(fd)
    raise StateError(
        "STATE_LOCKED",
        f"an agent with pid {holder.pid or 'unknown'} is running on {layout.root}",
        remedy="stop that agent, or give this one a state directory of its own",
    )


def _try_flock(fd: int, operation: int) -> bool:
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parse_holder(data: bytes) -> Holder:
    try:
        holder = json.loads(data)
        return Holder(int(holder["pid"]), holder["control"])
    except (ValueError, KeyError, TypeError):
        return Holder(None, None)


def _settle(layout: Layout) -> None:
    """Check or write VERSION, then bring directories and modes to what they must be."""
    try:
        version = layout.version.read_bytes()
    except FileNotFoundError:
        version = None
    if version is not None and version != b"%d\n" % STATE_VERSION:
        raise StateError(
            "STATE_VERSION",
            f"{layout.root} holds state of version {version[:20]!r};"
            f" this agent knows version {STATE_VERSION}",
            remedy="run the version of swt3-agent that wrote it, or a newer one",
        )
    layout.root.chmod(PRIVATE_DIRECTORY)
    for name in _SUBDIRECTORIES:
        directory = layout.root / name
        directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        directory.chmod(PRIVATE_DIRECTORY)
        for leftover in directory.glob(f".*{TEMPORARY_SUFFIX}"):  # of a write that was killed
            leftover.unlink()
    if version is None:  # last, so that a directory with a VERSION is whole
        write_durably(layout.version, b"%d\n" % STATE_VERSION)
        sync_directory(layout.root.absolute().parent)


def _state_error(path: Path, error: OSError) -> StateError:
    reason = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM):
        return StateError(
            "STATE_DENIED",
            f"uid {os.geteuid()} may not use {error.filename or path}: {reason}",
            remedy="run it as the owner of the state directory (sudo -u swt3 swt3-agent …), or "
            "name another with SWT3_STATE_DIR (agent.state_dir)",
        )
    if error.errno == errno.EROFS:
        return StateError(
            "STATE_READ_ONLY",
            f"{path} is on a read-only file system",
            remedy="mount it writable, or name a state directory elsewhere",
        )
    if is_out_of_space(error):
        return StateError(
            "STATE_FULL",
            f"there is no room in {path}: {reason}",
            remedy="make room on its file system, or name a state directory elsewhere",
        )
    return StateError(
        "STATE_UNUSABLE",
        f"{error.filename or path} cannot be used as agent state: {reason}",
        remedy="name a directory on a local file system as the state directory",
    )
