"""What the parsers of this package have in common."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from swt3_agent.errors import FormatError


@dataclass(frozen=True, slots=True)
class TypeTotal:
    """How many tensors of a type there are, and their bytes."""

    tensors: int
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    """A header that holds: every tensor lies within the file, and no two overlap.

    ``digest`` is SHA-256 over the first ``size`` bytes of the file, in hex. ``parameters`` counts
    elements as they are stored, so that eight values packed into one integer count once.
    ``parts`` counts tensors by the last part of their names, as far as that tells a method of
    quantization or adaptation. ``metadata`` are the few statements that somebody reads.
    """

    format: str
    digest: str
    size: int
    parameters: int
    types: Mapping[str, TypeTotal]
    parts: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def tensors(self) -> int:
        """How many tensors the file holds."""
        return sum(total.tensors for total in self.types.values())

    def as_json(self) -> dict[str, object]:
        """The header as a claim."""
        return {
            "format": self.format,
            "digest": self.digest,
            "size": self.size,
            "tensors": self.tensors,
            "parameters": self.parameters,
            "types": {
                name: {"tensors": total.tensors, "bytes": total.size}
                for name, total in self.types.items()
            },
            "parts": dict(self.parts),
            "metadata": dict(self.metadata),
        }


def added(types: dict[str, TypeTotal], name: str, size: int) -> None:
    """Count one more tensor of type ``name``, of ``size`` bytes."""
    before = types.get(name, TypeTotal(0, 0))
    types[name] = TypeTotal(before.tensors + 1, before.size + size)


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Exactly ``size`` bytes, or as many as the file has. Raises ``OSError``."""
    pieces = []
    while size > 0 and (piece := os.pread(descriptor, size, offset)):
        pieces.append(piece)
        offset += len(piece)
        size -= len(piece)
    return b"".join(pieces)


def malformed(code: str, detail: str) -> FormatError:
    """The one refusal of this package."""
    return FormatError(
        code,
        f"it does not hold: {detail}",
        remedy="get the file again from where it was published; do not load it",
    )
