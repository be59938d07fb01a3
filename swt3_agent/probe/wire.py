"""What is said to the probe and what it answers (docs/formats.md, "Probe"): lines of ASCII.

A question is one line, an answer one line and, where it has data, so many bytes after it:

    swt3-probe/1 boot-log                  swt3-probe/1 data SIZE TOTAL
    swt3-probe/1 ima-log OFFSET            swt3-probe/1 lack CODE DETAIL
"""

import re
from dataclasses import dataclass
from enum import Enum

MAGIC = "swt3-probe/1"
MAX_LINE = 128
"""Bytes of a question's or answer's line, its line feed included."""
MAX_BOOT_LOG = 16 * 1024 * 1024
MAX_IMA_PART = 8 * 1024 * 1024
"""Of one answer; who wants more asks again, from the offset where it ended."""
MAX_OFFSET = 2**53

_NUMBER = "(0|[1-9][0-9]{0,15})"
_QUESTION = re.compile(rf"{MAGIC} (?:(boot-log)|ima-log {_NUMBER})\n".encode())
_DATA = re.compile(rf"{MAGIC} data {_NUMBER} (?:-|{_NUMBER})\n".encode())
_LACK = re.compile(rf"{MAGIC} lack ([A-Z_]{{1,32}}) ([A-Za-z0-9-]{{1,32}})\n".encode())


class Log(Enum):
    """A log of the kernel; the value is the most bytes of one answer."""

    BOOT = MAX_BOOT_LOG
    IMA = MAX_IMA_PART


class Lacking(Enum):
    """Why there is no data: the log is absent, denied, busy, failed; or the probe will not say."""

    LOG_ABSENT = "LOG_ABSENT"
    LOG_DENIED = "LOG_DENIED"
    LOG_BUSY = "LOG_BUSY"
    LOG_FAILED = "LOG_FAILED"
    LOG_TOO_LARGE = "LOG_TOO_LARGE"
    LOG_SHORTER = "LOG_SHORTER"
    PROBE_DENIED = "PROBE_DENIED"
    PROBE_FAILED = "PROBE_FAILED"


@dataclass(frozen=True, slots=True)
class Question:
    """Which log is asked for, and from which byte."""

    log: Log
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Data:
    """``size`` bytes follow. ``total``: the whole log's, None where more is there than was sent."""

    size: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Lack:
    """No data. ``detail`` is the name of an error number, or ``-``."""

    code: Lacking
    detail: str = "-"


def question_line(question: Question) -> bytes:
    """The line that asks ``question``."""
    if question.log is Log.BOOT:
        return f"{MAGIC} boot-log\n".encode()
    return f"{MAGIC} ima-log {question.offset}\n".encode()


def parse_question(line: bytes) -> Question | None:
    """What ``line`` asks; None where that is nothing that the probe answers."""
    match = _QUESTION.fullmatch(line)
    if match is None:
        return None
    if match[1] is not None:
        return Question(Log.BOOT)
    offset = int(match[2])
    return Question(Log.IMA, offset) if offset <= MAX_OFFSET else None


def answer_line(answer: Data | Lack) -> bytes:
    """The line that begins or is the answer."""
    if isinstance(answer, Lack):
        return f"{MAGIC} lack {answer.code.value} {answer.detail}\n".encode()
    total = "-" if answer.total is None else answer.total
    return f"{MAGIC} data {answer.size} {total}\n".encode()


def parse_answer(line: bytes, question: Question) -> Data | Lack | None:
    """What ``line`` says to ``question``; None where that cannot be an answer to it."""
    if (match := _LACK.fullmatch(line)) is not None:
        code = Lacking.__members__.get(match[1].decode())
        return None if code is None else Lack(code, match[2].decode())
    if (match := _DATA.fullmatch(line)) is None:
        return None
    size = int(match[1])
    total = None if match[2] is None else int(match[2])
    if size > question.log.value or total not in (None, question.offset + size):
        return None
    if total is None and size == 0:  # who asked again from there would ask for ever
        return None
    return Data(size, total)
