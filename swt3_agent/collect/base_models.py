"""Whether an adapter was made for the model that it lies with, by the names that both state.

Names are no proof: digests are. But an adapter on a foreign base computes nonsense and says
nothing, so that a name that fits nowhere is worth telling.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swt3_agent.collect.measured_files import Document

_IN_CACHE = re.compile(r"(?:^|/)models--([^/]+)")  # a hub's cache: models--meta-llama--Llama-3-8B


@dataclass(frozen=True, slots=True)
class ModelNames:
    """``stated``: what the files or a hub's cache call the model. ``given``: what its operator
    calls it, which may be anything."""

    stated: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, paths: Sequence[Path], configuration: Document) -> "ModelNames":
        """``name`` and ``paths`` of the model, and its config.json (empty where it has none)."""
        told = configuration.get("_name_or_path")
        stated = [told] if isinstance(told, str) and told else []
        stated += [found[0] for path in paths if (found := _IN_CACHE.search(str(path))) is not None]
        return cls(tuple(stated), (name, *(path.name for path in paths)))

    def include(self, base_model: str | None) -> bool | None:
        """Whether an adapter's ``base_model`` is this model. Compared is the last part of a name,
        whoever publishes it, without regard to case. None: nobody says, or only by a path."""
        if not base_model:
            return None
        if _last_part(base_model) in map(_last_part, (*self.stated, *self.given)):
            return True
        names_it = any(not _is_path(name) for name in self.stated)
        return False if names_it and not _is_path(base_model) else None


def _last_part(name: str) -> str:
    cached = _IN_CACHE.search(name)
    part = cached[1].rpartition("--")[2] if cached else name.rstrip("/").rpartition("/")[2]
    return part.casefold()


def _is_path(name: str) -> bool:
    return name.startswith(("/", ".", "~")) and _IN_CACHE.search(name) is None
