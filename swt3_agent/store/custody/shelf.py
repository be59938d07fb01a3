"""A place where entries are kept: what all of them can do."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from swt3_agent.protocol.custody import CustodyEntry
from swt3_agent.store.durable import PRIVATE_FILE, write_all


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

    def adopt(self, file: Path) -> None:
        """Keep what another shelf of the same kind has in ``file``, which stays."""
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


def publish(path: Path, names: Sequence[str], content: bytes) -> None:
    """Write ``content`` beside ``path`` first, then give it the first free one of ``names``.

    ``path`` is the temporary file. Where every name is taken the last one is held to be the same
    content. The file is synced and its name is not: ``sync_directory`` does that for many at once.
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
                continue
            break
    finally:
        path.unlink(missing_ok=True)
