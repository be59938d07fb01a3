"""One event on one line: its words, then its fields as ``key=value``."""

import logging
from types import MappingProxyType

from swt3_agent.telemetry.events import Event

PRIORITY = MappingProxyType(
    {
        logging.DEBUG: 7,
        logging.INFO: 6,
        logging.WARNING: 4,
        logging.ERROR: 3,
        logging.CRITICAL: 2,
    }
)
"""syslog(3) priorities of Python's levels; INFO's where there is none."""

MAX_VALUE = 2048
"""Characters of one field's value; the rest is cut."""


class Fields(str):
    """``key=value`` pairs as text, with the values beside them for readers that can take them."""

    event: Event | None
    values: dict[str, str]


def fields(event: Event | None = None, /, **values: object) -> Fields:
    """``key=value`` pairs for the end of a log line; a value with a space is quoted.

    ``event`` is what kind of line it is, for readers that look for it.
    """
    texts = {key: _bounded(str(value)) for key, value in values.items()}
    told = Fields(" ".join(f"{key}={_quoted(text)}" for key, text in texts.items()))
    told.event = event
    told.values = texts
    return told


def fields_of(record: logging.LogRecord) -> Fields | None:
    """The fields that ``record`` was logged with, if it was."""
    if isinstance(record.args, tuple):
        for argument in record.args:
            if isinstance(argument, Fields):
                return argument
    return None


class LineFormatter(logging.Formatter):
    """A line for a terminal or a file, or with the prefix that the journal reads (sd-daemon(3))."""

    def __init__(self, *, for_journal: bool) -> None:
        super().__init__("%(message)s" if for_journal else "%(asctime)s %(levelname)s %(message)s")
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        """``record`` on one line."""
        line = _printable(super().format(record).strip().replace("\n", " | "))
        told = fields_of(record)
        if told is not None and told.event is not None:
            line += f" event={told.event.name}"
        if self._for_journal:
            return f"<{PRIORITY.get(record.levelno, 6)}>{line}"
        return line


def _printable(line: str) -> str:
    """``line`` with what a terminal would obey escaped: some of it was written by peers."""
    if line.isprintable():
        return line
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in line
    )


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


def _quoted(text: str) -> str:
    """``text`` so that it ends where it ends: no value passes for the field after it."""
    if text and not any(character in text for character in ' "\\'):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
