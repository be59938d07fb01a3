"""The files of a model that was measured, read again as what they were when they were hashed."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from swt3_agent.collect.headers.gguf import read_gguf
from swt3_agent.collect.headers.header import Header, malformed, read_at
from swt3_agent.collect.headers.safetensors import read_safetensors
from swt3_agent.collect.manifest import FileEntry, LinkEntry, ModelManifest
from swt3_agent.collect.model_files import Problem, Stamp, examine
from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json

Document = Mapping[str, object]
Seen = TypeVar("Seen")

_MOST_DOCUMENT = 1 << 20  # bytes of a configuration; the largest known have some tens of KiB
_PARSERS: Mapping[str, Callable[[int, int], Header]] = {
    ".safetensors": read_safetensors,
    ".gguf": read_gguf,
}


class MeasuredFiles:
    """Files by the names that the model has for them, links to files among them.

    What changed since it was hashed is a problem, never an answer.
    """

    def __init__(self, base: Path, stamps: Mapping[str, Stamp], manifest: ModelManifest) -> None:
        """``base``: the directory that the manifest's paths start from."""
        self.base = base
        self.manifest = manifest
        self._stamps = stamps
        files = [entry for entry in manifest.entries if isinstance(entry, FileEntry)]
        links = [entry for entry in manifest.entries if isinstance(entry, LinkEntry)]
        self._digests = {entry.path: entry.sha256 for entry in files}
        self._targets = {name: name for name in self._digests} | {
            link.path: link.link for link in links if link.link in self._digests
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of a file, in order."""
        return tuple(sorted(self._targets))

    def digest(self, name: str) -> str | None:
        """SHA-256 of a file's content, in hex; None where there is no file of that name."""
        target = self._targets.get(name)
        return None if target is None else self._digests[target]

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is no file of that name."""
        target = self._targets.get(name)
        return None if target is None else self._stamps[target].size

    def weights(self) -> tuple[str, ...]:
        """Names of the weight files whose headers can be read, each content once."""
        once = {
            self._targets[name]: name for name in reversed(self.names) if _suffix(name) in _PARSERS
        }
        return tuple(sorted(once.values()))

    def header(self, name: str) -> Header | Problem:
        """The header of one of ``weights``."""
        read = _PARSERS[_suffix(name)]
        size = self._stamps[self._targets[name]].size
        return self._examine(name, lambda file: read(file, size))

    def document(self, name: str) -> Document | Problem | None:
        """The JSON object that a file holds; None where there is no file of that name."""
        if name not in self._targets:
            return None
        return self._examine(name, _read_document)

    def _examine(self, name: str, look: Callable[[int], Seen]) -> Seen | Problem:
        target = self._targets[name]

        def told(file: int) -> Seen | Problem:
            try:
                return look(file)
            except FormatError as error:
                return Problem(error.code, f"{name}: {error.message}", error.remedy)

        return examine(self.base, target, self._stamps[target], told)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  a name in a manifest is no path here


def _read_document(file: int) -> Document:
    """A JSON object of strict form (FormatError of :mod:`swt3_agent.protocol.strict_json`)."""
    value = strict_json.loads(read_at(file, _MOST_DOCUMENT + 1, 0), max_bytes=_MOST_DOCUMENT)
    if not isinstance(value, dict):
        raise malformed("NOT_JSON", "it is no JSON object")
    return value
