"""Lines come out as they went in, however the stream was cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.relay.request import Broken, LineSplitter

_streams = st.binary(max_size=60).map(lambda data: data.replace(b"\x00", b"\n"))


def _taken(splitter: LineSplitter) -> list[bytes | Broken]:
    return [splitter.take() for _ in range(len(splitter.lines))]


@given(stream=_streams, cuts=st.lists(st.integers(0, 60), max_size=6))
def test_lines_do_not_depend_on_how_the_stream_is_cut(stream: bytes, cuts: list[int]) -> None:
    splitter = LineSplitter(10)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in pairwise(places):
        splitter.feed(stream[start:end])
    *complete, rest = stream.split(b"\n")
    expected: list[bytes | Broken] = [
        line if len(line) <= 10 else Broken.TOO_LONG for line in complete
    ]
    if len(rest) > 10:
        expected.append(Broken.TOO_LONG)
    assert _taken(splitter) == expected
    assert splitter.inside_line == bool(rest)
    assert splitter.held_bytes == (len(rest) if len(rest) <= 10 else 0)


def test_the_rest_of_a_line_that_is_too_long_costs_no_memory() -> None:
    splitter = LineSplitter(10)
    splitter.feed(b"x" * 11)
    for _ in range(100):
        splitter.feed(b"x" * 1000)
    assert splitter.held_bytes == 0
    splitter.feed(b"\nnext\n")
    assert _taken(splitter) == [Broken.TOO_LONG, b"next"]


def test_the_end_inside_a_line_is_told_after_the_lines_before_it() -> None:
    splitter = LineSplitter(10)
    splitter.feed(b"one\ntw")
    splitter.end()
    assert _taken(splitter) == [b"one", Broken.UNFINISHED]
    assert splitter.held_bytes == 0


def test_an_empty_line_is_not_free() -> None:
    splitter = LineSplitter(10)
    splitter.feed(b"\n" * 1000)
    assert splitter.held_bytes > 1000


def test_what_was_not_taken_can_be_dropped() -> None:
    splitter = LineSplitter(10)
    splitter.feed(b"one\ntw")
    splitter.drop()
    assert splitter.held_bytes == 0
    with pytest.raises(IndexError):
        splitter.take()
