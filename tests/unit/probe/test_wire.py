"""The lines that client and probe exchange, and everything else that might be one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.probe.wire import (
    MAX_IMA_PART,
    MAX_LINE,
    MAX_OFFSET,
    Data,
    Lack,
    Lacking,
    Log,
    Question,
    answer_line,
    parse_answer,
    parse_question,
    question_line,
)

BOOT = Question(Log.BOOT)
offsets = st.integers(0, MAX_OFFSET)


@given(offsets)
def test_a_question_is_understood(offset: int) -> None:
    question = Question(Log.IMA, offset)
    assert parse_question(question_line(question)) == question
    assert len(question_line(question)) <= MAX_LINE
    assert parse_question(question_line(BOOT)) == BOOT


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"swt3-probe/1 boot-log",
        b"swt3-probe/1 boot-log\n\n",
        b"swt3-probe/1 boot-log\r\n",
        b"swt3-probe/1 boot-log 0\n",
        b"swt3-probe/1  boot-log\n",
        b"swt3-probe/2 boot-log\n",
        b"swt3-probe/1 ima-log\n",
        b"swt3-probe/1 ima-log -1\n",
        b"swt3-probe/1 ima-log +1\n",
        b"swt3-probe/1 ima-log 01\n",
        b"swt3-probe/1 ima-log 1e3\n",
        b"swt3-probe/1 ima-log 9999999999999999\n",
        b"swt3-probe/1 ima-log \xd9\xa1\n",
        b"swt3-probe/1 /etc/shadow\n",
        b"swt3-probe/1 boot-log ../../etc/shadow\n",
    ],
)
def test_nothing_else_is_a_question(line: bytes) -> None:
    assert parse_question(line) is None


@given(st.binary(max_size=MAX_LINE))
def test_no_bytes_break_the_parsers(line: bytes) -> None:
    assert parse_question(line) is None
    assert parse_answer(line, BOOT) is None


@given(offsets, st.integers(1, MAX_IMA_PART), st.booleans())
def test_an_answer_is_understood(offset: int, size: int, is_end: bool) -> None:
    question = Question(Log.IMA, offset)
    answer = Data(size, offset + size if is_end else None)
    assert parse_answer(answer_line(answer), question) == answer
    assert len(answer_line(answer)) <= MAX_LINE


@pytest.mark.parametrize("code", Lacking)
def test_every_lack_is_understood(code: Lacking) -> None:
    lack = Lack(code, "ENOTRECOVERABLE")
    assert parse_answer(answer_line(lack), BOOT) == lack


@pytest.mark.parametrize(
    "line",
    [
        b"swt3-probe/1 data 16777217 16777217\n",  # more than was promised at most
        b"swt3-probe/1 data 5 6\n",  # it neither ends nor goes on
        b"swt3-probe/1 data 0 -\n",  # it goes on and gives nothing
        b"swt3-probe/1 data -5 -\n",
        b"swt3-probe/1 lack LOG_EATEN -\n",
        b"swt3-probe/1 lack LOG_ABSENT \x1b[2J\n",
        b"swt3-probe/1 lack LOG_ABSENT\n",
        b"HTTP/1.1 200 OK\n",
    ],
)
def test_what_cannot_be_an_answer_is_none(line: bytes) -> None:
    assert parse_answer(line, BOOT) is None


def test_the_end_is_counted_from_the_offset() -> None:
    question = Question(Log.IMA, 100)
    assert parse_answer(b"swt3-probe/1 data 5 105\n", question) == Data(5, 105)
    assert parse_answer(b"swt3-probe/1 data 0 100\n", question) == Data(0, 100)
    assert parse_answer(b"swt3-probe/1 data 5 5\n", question) is None
