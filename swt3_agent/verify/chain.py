"""The chain of trust as a tree: what rests on what, whether it held, and whose word it is."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from swt3_agent.verify.report import Check, printable


class Word(Enum):
    """Whose word a link is. What was recomputed is nobody's; what is yours you must know."""

    ENROLLER = "enroller"
    READER = "you"
    TPM = "TPM"
    ARITHMETIC = "recomputed"
    NODE = "node"
    SENDER = "sender"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class Link:
    """One thing that was shown, and what rests on it. ``ok`` is True where it held, False where it
    did not, None where it was not shown here."""

    what: str
    ok: bool | None
    word: Word
    rests: tuple["Link", ...] = ()

    def to_json(self) -> dict[str, object]:
        """JSON-able form (docs/formats.md, "Chain of trust")."""
        return {
            "what": self.what,
            "ok": self.ok,
            "word": self.word.value,
            "rests": [link.to_json() for link in self.rests],
        }


class Verdicts:
    """What a report's checks came to, by name."""

    def __init__(self, checks: Sequence[Check], prefix: str = "") -> None:
        self._by_name: dict[str, list[bool | None]] = {}
        for check in checks:
            self._by_name.setdefault(check.name.removeprefix(prefix), []).append(check.ok)

    def __call__(self, *names: str) -> bool | None:
        """False where one of them failed, None where one was not made, else True."""
        found = [ok for name in names for ok in self._by_name.get(name, [None])]
        return False if False in found else None if None in found else True


@dataclass(frozen=True, slots=True)
class _Glyphs:
    marks: dict[bool | None, str]
    branch: str
    last: str
    down: str


_UNICODE = _Glyphs(
    {True: "\u2713", False: "\u2717", None: "?"}, "\u251c\u2500", "\u2514\u2500", "\u2502 "
)
_ASCII = _Glyphs({True: "ok", False: "NO", None: "??"}, "|-", "`-", "| ")


def draw(link: Link, *, width: int = 80, ascii_only: bool = False) -> str:
    """The tree, in lines of ``width``; what others wrote is in printable ASCII."""
    glyphs = _ASCII if ascii_only else _UNICODE
    held, failed, absent = (glyphs.marks[ok] for ok in (True, False, None))
    legend = f"{held} held  {failed} failed  {absent} not shown here  [whose word it is]"
    return "\n".join([legend, *_drawn(link, "", "", width, glyphs)])


def _drawn(link: Link, first: str, rest: str, width: int, glyphs: _Glyphs) -> Iterator[str]:
    mark = glyphs.marks[link.ok]
    words = textwrap.wrap(
        f"{printable(link.what)} [{link.word.value}]",
        max(width - len(rest) - len(mark) - 1, 20),
        break_on_hyphens=False,
    )
    yield f"{first}{mark} {words[0]}"
    below = glyphs.down if link.rests else "  "
    yield from (f"{rest}{below}{' ' * (len(mark) - 1)}{line}" for line in words[1:])
    for place, each in enumerate(link.rests, 1):
        is_last = place == len(link.rests)
        branch, down = (glyphs.last, "  ") if is_last else (glyphs.branch, glyphs.down)
        yield from _drawn(each, rest + branch, rest + down, width, glyphs)
