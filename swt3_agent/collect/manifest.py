"""The manifest of a model: every file with its digest, in one canonical form.

    digest = SHA-256(RFC 8785 of {"format": "swt3-agent/model-manifest/1", "files": [...]})

``files`` is sorted by path, by code points; an entry is {"path", "sha256", "size"} or, for a
symbolic link, {"link", "path"}. Paths are relative to the model and use "/"; a single file has
its own name as path. A link is named by the path, within the model, of the file or directory that
it leads to in the end. So neither where the model lies nor how a link is spelled changes the
digest, and every other difference does.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from swt3_agent.protocol.canonical import canonical_json

FORMAT = "swt3-agent/model-manifest/1"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A regular file. ``size`` in bytes, ``sha256`` in hex as sha256sum prints it."""

    path: str
    size: int
    sha256: str

    def as_json(self) -> dict[str, object]:
        return {"path": self.path, "size": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class LinkEntry:
    """A symbolic link to ``link``, another path of the same model."""

    path: str
    link: str

    def as_json(self) -> dict[str, object]:
        return {"path": self.path, "link": self.link}


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """All entries of one model, sorted by path."""

    entries: tuple[FileEntry | LinkEntry, ...]

    @classmethod
    def of(cls, entries: Iterable[FileEntry | LinkEntry]) -> "ModelManifest":
        """The manifest of ``entries`` in any order."""
        return cls(tuple(sorted(entries, key=lambda entry: entry.path)))

    def as_json(self) -> dict[str, object]:
        """The value whose canonical form is digested."""
        return {"format": FORMAT, "files": [entry.as_json() for entry in self.entries]}

    def digest(self) -> str:
        """SHA-256 of the canonical form, 64 hex digits."""
        return hashlib.sha256(canonical_json(self.as_json())).hexdigest()
