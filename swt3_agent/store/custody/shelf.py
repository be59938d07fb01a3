"""A place where entries are kept: what all of them can do."""

import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from swt3_agent.protocol.custody import CustodyEntry
from swt3_agent.protocol.handoff import handoff_names
from swt3_agent.store.durable import PRIVATE_FILE, TEMPORARY_SUFFIX, sync_directory, write_all

HANDOFF_SUFFIX = ".json"


class Shelf(Protocol):
    """Used by one thread. Everything but ``close`` raises OSError where the place is unusable."""

    @property
    def directory(self) -> Path:
        """Where its files lie."""
        ...

    def keep(self, entries: Sequence[CustodyEntry]) -> None:
        """Make ``entries`` durable. Where it raises, they may have to be kept again."""
        ...

    def probe(self) -> None:
        """Find out whether the place can be written to."""
        ...

    def settle(self) -> None:
        """Finish what has been open for too long."""
        ...

    def close(self) -> None:
        """Finish whatever is open."""
        ...


def create_private(path: Path) -> int:
    """A new file that nobody else could open for a moment; the descriptor. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, PRIVATE_FILE)


def adopt(file: Path, directory: Path) -> None:
    """Copy what a shelf wrote to ``file`` into ``directory``, durably; the file stays.

    An encrypted file keeps its name, which no other has; a handoff file takes another where its own
    is taken, by anything but itself. Raises OSError, and ValueError for what no shelf has written.
    """
    if file.suffix != HANDOFF_SUFFIX:
        _copy_whole(file, directory)
        return
    data = file.read_bytes()
    try:
        names = handoff_names(json.loads(data))
    except (LookupError, TypeError, AssertionError) as error:
        raise ValueError(f"{file} is no handoff file") from error
    publish(new_temporary(directory), names, data)
    sync_directory(directory)


def new_temporary(directory: Path) -> Path:
    """A name in ``directory`` for what has no name of its own yet."""
    return directory / f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except FileNotFoundError:
        return False


def _copy_whole(file: Path, directory: Path) -> None:
    temporary = directory / f".{file.name}{TEMPORARY_SUFFIX}"
    temporary.unlink(missing_ok=True)
    try:
        fd = create_private(temporary)
        try:
            write_all(fd, file.read_bytes(), 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.rename(directory / file.name)
    except OSError:
        with suppress(OSError):
            temporary.unlink()  # on a full disk it would be in the way of what is smaller
        raise
    sync_directory(directory)


def publish(path: Path, names: Sequence[str], content: bytes) -> None:
    """Write ``content`` beside ``path`` first, then give it the first free one of ``names``.

    ``path`` is the temporary file. A name that has the same content already is as good as a free
    one; where every other is taken, the last is held to be such. The file is synced and its name
    is not: ``sync_directory`` does that for many at once.
    Raises OSError.
    """
    fd = create_private(path)
    try:
        try:
            write_all(fd, content, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        for name in names:
            try:
                os.link(path, path.with_name(name))  # fails where the name is taken
            except FileExistsError:
                if not _holds(path.with_name(name), content):
                    continue
            break
    finally:
        path.unlink(missing_ok=True)
