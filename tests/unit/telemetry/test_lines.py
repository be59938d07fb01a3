"""A log line is one line, whatever is in it."""

import logging
import re

from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.telemetry import Event, fields
from swt3_agent.telemetry.lines import MAX_VALUE, LineFormatter, fields_of


def record(message: str, *arguments: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("swt3_agent.test", level, __file__, 1, message, arguments, None)


def test_fields_are_text_and_keep_their_values() -> None:
    told = fields(Event.READY, socket="/run/x", why="two words", nothing="")
    assert told == 'socket=/run/x why="two words" nothing=""'
    assert told.event is Event.READY
    assert told.values == {"socket": "/run/x", "why": "two words", "nothing": ""}


def test_a_line_names_its_event() -> None:
    line = LineFormatter(for_journal=False).format(record("ready %s", fields(Event.READY, a=1)))
    assert line.endswith("INFO ready a=1 event=READY")


def test_a_line_without_fields_ends_with_its_words() -> None:
    line = LineFormatter(for_journal=True).format(record("stopping %s", fields(Event.STOPPING)))
    assert line == "<6>stopping event=STOPPING"


def test_the_prefix_tells_the_priority() -> None:
    assert LineFormatter(for_journal=True).format(record("x", level=logging.CRITICAL)) == "<2>x"


def test_a_value_is_bounded() -> None:
    assert len(fields(why="x" * 100_000).values["why"]) == MAX_VALUE


@given(st.text())
def test_a_line_is_printable_and_one(text: str) -> None:
    line = LineFormatter(for_journal=True).format(record("said %s", fields(why=text)))
    assert line.isprintable()
    assert len(line.splitlines()) == 1


@given(st.text(min_size=1), st.text())
def test_no_value_passes_for_the_field_after_it(text: str, other: str) -> None:
    assert fields_in(fields(why=text, other=other)) == {"why": text, "other": other}


def fields_in(told: str) -> dict[str, str]:
    """What a reader who knows quotes finds."""
    found = {}
    rest = told
    while rest:
        key, _, rest = rest.partition("=")
        if rest.startswith('"'):
            match = re.match(r'"((?:[^"\\]|\\.)*)" ?', rest, re.DOTALL)
            assert match, rest
            found[key] = re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL)
            rest = rest[match.end() :]
        else:
            found[key], _, rest = rest.partition(" ")
    return found


def test_finds_no_fields_where_there_are_none() -> None:
    assert fields_of(record("x %s", "y")) is None
    assert fields_of(record("x")) is None
