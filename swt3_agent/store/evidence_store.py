"""Raw evidence by content: a file's name is the SHA-256 of its bytes (docs/formats.md, "State")."""

import re
from hashlib import sha256
from pathlib import Path

from swt3_agent.errors import JournalError
from swt3_agent.store.durable import is_out_of_space, sync_directory, write_durably

_DIGEST = re.compile("[0-9a-f]{64}")


class EvidenceStore:
    """Evidence files in one directory. What is in it never changes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, digest: str) -> Path:
        """Where the evidence with this SHA-256 (64 hex digits) lies."""
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is no SHA-256 in hex")
        return self._directory / digest

    def put(self, content: bytes) -> str:
        """Store ``content`` durably; its SHA-256 in hex. The same content is stored once.

        Raises JournalError: ``DISK_FULL`` (retryable), ``EVIDENCE_UNWRITABLE``.
        """
        digest = sha256(content).hexdigest()
        path = self.path(digest)
        try:
            if path.exists():
                sync_directory(self._directory)  # who wrote it may have been killed before this
            else:
                write_durably(path, content)
        except OSError as error:
            raise _not_stored(error) from error
        return digest

    def get(self, digest: str) -> bytes:
        """The content with this SHA-256, checked.

        Raises JournalError: ``EVIDENCE_MISSING``, ``EVIDENCE_CHANGED``.
        """
        path = self.path(digest)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise JournalError(
                "EVIDENCE_MISSING",
                f"evidence {path} cannot be read: {error.strerror}",
                remedy="restore the file from a backup; the record that names it still holds",
            ) from error
        if sha256(content).hexdigest() != digest:
            raise JournalError(
                "EVIDENCE_CHANGED",
                f"evidence {path} is not what its name says",
                remedy="restore the file from a backup; the record that names it still holds",
            )
        return content


def _not_stored(error: OSError) -> JournalError:
    if is_out_of_space(error):
        return JournalError(
            "DISK_FULL",
            f"there is no room for evidence: {error.strerror}",
            remedy="make room on the file system of the state directory",
            retryable=True,
        )
    return JournalError(
        "EVIDENCE_UNWRITABLE",
        f"evidence cannot be stored: {error}",
        remedy="make the state directory writable for the agent",
    )
