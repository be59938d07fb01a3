"""Text on its way to a terminal: what others wrote made harmless, long lines wrapped."""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TextIO

_HEAD = re.compile(r" *(?:\S+ {2,}|- |FAIL )?")
"""What a line's continuation is set under: its indent, and a label in a column of its own."""
_DEEPEST = 24  # a label wider than this leaves too little of a narrow terminal beside it


def printable(text: str) -> str:
    """``text`` with every character that a terminal would obey, or that hides others, escaped.

    Names of model files and payloads of producers are shown to operators; neither may move the
    cursor or turn the direction of what stands beside it. Line ends stay.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\n" else _escaped(character)
        for character in text
    )


def joined(lines: Iterable[str]) -> str:
    """Printable lines one below the other. What others wrote begins none: its own line ends are
    continued under a bar, so that the name of a file cannot pass for a verdict."""
    return printable("\n".join(line.replace("\n", "\n               | ") for line in lines))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def utc_text(utc_ms: int | None) -> str:
    """A time in milliseconds since 1970, to the second; None: never."""
    if utc_ms is None:
        return "never"
    try:
        time = datetime.fromtimestamp(utc_ms // 1000, timezone.utc)
    except (
        ValueError,
        OverflowError,
        OSError,
    ):  # what a stranger wrote may lie beyond any calendar
        return f"{utc_ms} ms after 1970"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")


def show(text: str, stream: TextIO | None = None) -> None:
    """Print ``text`` to ``stream`` (standard output): with long lines wrapped on a terminal, as it
    is for any other reader."""
    stream = sys.stdout if stream is None else stream
    if stream.isatty():
        text = wrapped(text, shutil.get_terminal_size().columns)
    print(text, file=stream)


def show_progress(what: str, done: int, total: int) -> None:
    """How far ``what`` has come with its records: on a terminal, over what stood there before."""
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{what}: {done} of {total} records", end=end, file=sys.stderr, flush=True)


def wrapped(text: str, width: int) -> str:
    """``text`` with lines over ``width`` characters broken between words, continued indented.

    A word that is longer than a line (a path, a digest) stays whole, so that it can be copied.
    """
    return "\n".join(
        line if len(line) <= width else _wrapped_line(line, width) for line in text.split("\n")
    )


def _wrapped_line(line: str, width: int) -> str:
    head = _HEAD.match(line)
    depth = 0 if head is None else head.end()
    indent = len(line) - len(line.lstrip(" "))
    if depth == indent or depth > _DEEPEST:  # no label
        depth = indent + 2
    longest = max(map(len, line.split()))
    if longest <= width:  # a digest stays on one line, if need be further to the left
        depth = min(depth, width - longest)
    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * depth,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
