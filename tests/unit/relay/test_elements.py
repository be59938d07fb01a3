"""Lists from strangers, of which no more is kept than was asked for."""

import tracemalloc
from collections.abc import Callable

import pytest

from swt3_agent.errors import FormatError
from swt3_agent.relay.answers import Code, Refusal
from swt3_agent.relay.elements import list_decoder
from swt3_agent.relay.http_body import parse_body
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.request import parse_request

MOST = 1000
LITTLE = 1 << 20
"""Bytes. Half a million elements would be 20 MiB, and the texts below have less than two."""
MANY = b"[" + b"0," * 500_000 + b"0]"


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[]", []),
        (b"[null]", [b"null"]),
        (b'[1, "a,b" ,[2]]', [b"1", b'"a,b"', b"[2]"]),
        (b"[1,2,3,4]", [b"1", b"2", b"3", b"4"]),
        (b"[1,2,3,4,5,6]", [b"1", b"2", b"3", b"4"]),
    ],
)
def test_one_more_than_allowed_is_told_and_no_other(text: bytes, expected: list[bytes]) -> None:
    assert list_decoder(3)(text) == expected


def test_a_request_with_elements_without_end_costs_no_memory() -> None:
    line = b'{"op":"submit","id":"i","witnesses":%b}' % MANY
    parse_request(line, IntakeLimits())  # what is made once is no cost of this line
    found: list[object] = []
    assert peak_bytes(lambda: found.append(parse_request(line, IntakeLimits()))) < LITTLE
    (refusal,) = found
    assert isinstance(refusal, Refusal)
    assert (refusal.request_id, refusal.code) == ("i", Code.TOO_LARGE)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"witnesses":%b}' % MANY, "TOO_LARGE"),
        (b'{"witnesses":[],"x":%b}' % MANY, "INVALID_REQUEST"),
        (b'{"witnesses":%b,"witnesses":[]}' % MANY, "INVALID_REQUEST"),
        (
            b'{"witnesses":[]%b}' % b"".join(b',"%d":0' % n for n in range(100_000)),
            "INVALID_REQUEST",
        ),
    ],
)
def test_a_body_with_anything_without_end_costs_no_memory(body: bytes, code: str) -> None:
    def parse() -> None:
        with pytest.raises(FormatError) as refused:
            parse_body(body, MOST)
        assert refused.value.code == code

    parse()
    assert peak_bytes(parse) < LITTLE + len(body)
