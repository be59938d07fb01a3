"""The bundle's file: written beside its name, member by member, and there only when it is whole."""

import contextlib
import os
import tempfile
from hashlib import sha256
from pathlib import Path
from types import TracebackType

from swt3_agent.errors import AgentError
from swt3_agent.protocol.bundle import MAX_MEMBER, Member
from swt3_agent.protocol.ustar import END, member_header, padding
from swt3_agent.store.durable import sync_directory

_RESERVE = 1024 * 1024


class BundleWriter:
    """Writes members in the order of their names; use it as a context manager, then ``finish``.

    Left without ``finish`` nothing remains. Every call raises AgentError: ``OUTPUT_EXISTS``,
    ``OUTPUT_UNWRITABLE`` (a full disk, too), ``BUNDLE_TOO_LARGE``.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.size = 0
        self._last_name = ""
        if os.path.lexists(target):
            raise _exists(target)
        try:
            fd, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
        except OSError as error:
            raise _unwritable(target, error) from error
        self._temporary: Path | None = Path(name)
        self._stream = os.fdopen(fd, "wb")

    def add(self, name: str, data: bytes, first: int = 0, end: int = 0) -> Member:
        """Add a member of records ``[first, end)``; what the manifest says of it."""
        if name <= self._last_name:
            raise ValueError(f"{name} cannot follow {self._last_name}")
        if len(data) > MAX_MEMBER:
            raise AgentError(
                "BUNDLE_TOO_LARGE",
                f"{name} would have {len(data)} bytes, and {MAX_MEMBER} is the most",
                remedy="export fewer records at once with --from and --to",
            )
        self._last_name = name
        self._write(member_header(name, len(data)))
        self._write(data)
        self._write(bytes(padding(len(data))))
        return Member(name, len(data), sha256(data).hexdigest(), first, end)

    def reserve(self) -> None:
        """Have what there is on disk, and room for what follows the manifest: what goes wrong shows
        here, before the log says that the range left, and little is left to do after that."""
        try:
            self._stream.flush()
            os.posix_fallocate(self._stream.fileno(), self.size, _RESERVE)
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise _unwritable(self.target, error) from error

    def finish(self) -> None:
        """End the file, make it durable, and give it its name, unless that is taken."""
        assert self._temporary is not None  # noqa: S101  it is finished once
        self._write(END)
        try:
            self._stream.flush()
            self._stream.truncate(self.size)
            os.fsync(self._stream.fileno())
            self._stream.close()
            _give_name(self._temporary, self.target)
            self._temporary = None
            sync_directory(self.target.parent)
        except FileExistsError:
            raise _exists(self.target) from None
        except OSError as error:
            raise _unwritable(self.target, error) from error

    def _write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except OSError as error:
            raise _unwritable(self.target, error) from error
        self.size += len(data)

    def __enter__(self) -> "BundleWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what it still held found no room either
            self._stream.close()


def _give_name(temporary: Path, target: Path) -> None:
    """Rename without replacing. Raises FileExistsError, OSError."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: a memory stick
        if os.path.lexists(target):
            raise FileExistsError from None
        temporary.rename(target)
    else:
        temporary.unlink()


def _exists(target: Path) -> AgentError:
    return AgentError(
        "OUTPUT_EXISTS",
        f"{target} is there already",
        remedy="name another file: a bundle is never overwritten",
    )


def _unwritable(target: Path, error: OSError) -> AgentError:
    return AgentError(
        "OUTPUT_UNWRITABLE",
        f"{target} cannot be written: {error.strerror or error}",
        remedy="name a path in a directory that is there, is yours and has room",
    )
