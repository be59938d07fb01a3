"""A case: the files, what a verifier is asked about them, and what it must answer."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

FALSE, UNDECIDED = 3, 4


@dataclass(frozen=True)
class Case:
    """``name`` is a slug, unique; ``threat`` says what an attacker did, in words.

    ``judge`` names the verb (``proof``, ``bundle``, …); ``files`` are its inputs by role, each the
    bytes of a file; ``options`` what else it is told. ``code`` and ``exit_code`` are its answer.
    """

    name: str
    threat: str
    code: str
    judge: str
    files: Mapping[str, bytes]
    options: Mapping[str, object] = field(default_factory=dict)
    exit_code: int = FALSE


Maker = Callable[[], Iterable[Case]]
