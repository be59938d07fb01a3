"""Entries as handoff files, one each, readable by the agent's user (docs/formats.md, "Handoff
file")."""

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from swt3_agent.protocol.custody import CustodyEntry
from swt3_agent.protocol.handoff import encode_handoff, handoff, handoff_names
from swt3_agent.store.custody.shelf import HANDOFF_SUFFIX, create_private, new_temporary, publish
from swt3_agent.store.durable import TEMPORARY_SUFFIX, sync_directory

SUFFIX = HANDOFF_SUFFIX


class FileShelf:
    """A directory of handoff files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with suppress(OSError):  # it may not be there yet; then there is nothing to tidy
            for leftover in directory.glob(f".*{TEMPORARY_SUFFIX}"):
                leftover.unlink()

    @property
    def directory(self) -> Path:
        """Where the files lie."""
        return self._directory

    def keep(self, entries: Sequence[CustodyEntry]) -> None:
        """A file for each; their names are synced together. Raises OSError."""
        for entry in entries:
            digest = sha256(entry.cleared).digest()
            content = handoff(entry.tenant, entry.secret, entry.original, digest, entry.level)
            publish(new_temporary(self._directory), handoff_names(content), encode_handoff(content))
        sync_directory(self._directory)

    def probe(self) -> None:
        """Create a file and remove it."""
        path = new_temporary(self._directory)
        fd = create_private(path)
        path.unlink()
        with open(fd, "wb"):  # noqa: PTH123  # closes it
            pass

    def settle(self) -> None:
        """Nothing stays open."""

    def close(self) -> None:
        """Nothing stays open."""
