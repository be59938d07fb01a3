"""Layers of settings, and the one document that they come to.

From the lowest: the files that ``extends`` names, the profile, the file itself, the environment
(docs/protocol.md 13). Mappings merge, lists and values replace.
"""

import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swt3_agent.config.documents import Document, read_document
from swt3_agent.config.file_settings import FileSettings
from swt3_agent.config.problems import Findings
from swt3_agent.config.reading import cleaned, read_aliases
from swt3_agent.errors import ConfigError

MAX_EXTENDS_DEPTH = 10
MAX_FILES = 64

_HELD_SECRETS = frozenset({"api_key", "signing_key"})

_EITHER = (("api_key", "api_key_env"), ("signing_key", "signing_key_env"))
"""A value or the variable that holds it: who sets the one takes the other back."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one source. ``origins`` names it by path where it is not ``name``."""

    name: str
    document: Document = field(repr=False)
    origins: dict[str, str] = field(default_factory=dict)

    def put(self, path: str, value: object, origin: str) -> None:
        """Set ``path``, for instance ``agent.socket``."""
        *above, last = path.split(".")
        inner = self.document
        for key in above:
            inner = inner.setdefault(key, {})
        inner[last] = value
        self.origins[path] = origin

    def drop(self, key: str) -> None:
        """Take the setting at the top level back."""
        self.document.pop(key, None)
        self.origins.pop(key, None)


@dataclass(frozen=True, slots=True)
class Merged:
    """One document of several layers; ``origins`` says of each of its values who set it."""

    document: Document = field(repr=False)
    origins: dict[str, str]

    def origin(self, path: str) -> str:
        """Who set ``path``; ``default`` where nobody did."""
        return self.origins.get(path, "default")


def merge(layers: Sequence[Layer]) -> Merged:
    """The document of ``layers``, the lowest first."""
    document: Document = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for one, other in _EITHER:
            for key, rival in ((one, other), (other, one)):
                if key in layer.document and rival not in layer.document:
                    document.pop(rival, None)
                    origins.pop(rival, None)
        _merge_into(document, layer.document, "", layer, origins)
    return Merged(document, origins)


def _merge_into(
    base: Document, over: Document, path: str, layer: Layer, origins: dict[str, str]
) -> None:
    for key, value in over.items():
        where = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            inner = base.get(key)
            if not isinstance(inner, dict):
                inner = base[key] = {}
            _merge_into(inner, value, where, layer, origins)
        else:
            base[key] = value
            origins[where] = layer.origins.get(where, layer.name)


def file_layers(path: Path, findings: Findings) -> list[Layer]:
    """The file at ``path`` and all that it extends, the lowest first and itself last.

    A file that cannot be read or parsed is a problem, and left out.
    """
    boundary = path.absolute().parent.parent
    return _Extending(boundary, findings).layers(path.absolute(), str(path))


@dataclass(slots=True)
class _Extending:
    boundary: Path
    findings: Findings
    seen: set[Path] = field(default_factory=set)

    def layers(self, path: Path, name: str, depth: int = 0) -> list[Layer]:
        document = self._read(path, name, depth)
        if document is None:
            return []
        named = document.pop("extends", None)
        layers: list[Layer] = []
        for extended in (named,) if isinstance(named, str) else named or ():
            if target := self._target(extended, path.parent, name):
                layers += self.layers(target, str(target), depth + 1)
        return [*layers, Layer(name, document)]

    def _read(self, path: Path, name: str, depth: int) -> Document | None:
        problem = None
        real = _resolved(path)
        if real in self.seen:
            problem = f"{name} is extended twice, or in a circle"
        elif depth > MAX_EXTENDS_DEPTH or len(self.seen) >= MAX_FILES:
            problem = f"{name} is extended over more than {MAX_EXTENDS_DEPTH} files deep"
        if problem is not None:
            self._refuse(problem, "name each file once")
            return None
        self.seen.add(real)
        try:
            document = read_document(path)
        except ConfigError as error:
            self.findings.take(error, name)
            return None
        if _HELD_SECRETS & set(document) and path.stat().st_mode & stat.S_IROTH:
            self.findings.warn(f"{name} holds a secret and everybody can read it: chmod 0640")
        document = read_aliases(document, name, self.findings)
        return cleaned(document, FileSettings, name, self.findings)

    def _target(self, extended: str, directory: Path, name: str) -> Path | None:
        target = Path(extended)
        if target.is_absolute():
            return target
        target = _resolved(directory / target)
        if not target.is_relative_to(_resolved(self.boundary)):
            self._refuse(
                f"{name} extends a file outside {self.boundary}",
                "name it by its absolute path if that is meant",
            )
            return None
        return target

    def _refuse(self, message: str, remedy: str) -> None:
        self.findings.refuse("CONFIG_EXTENDS", "extends", message, remedy)


def _resolved(path: Path) -> Path:
    """``path`` without its links; one with links in a circle stays, and cannot be opened."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def walk(document: Document, visit: Callable[[str, Any], None], path: str = "") -> None:
    """Call ``visit`` with the path and value of every setting in ``document``."""
    for key, value in document.items():
        where = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            walk(value, visit, where)
        else:
            visit(where, value)
