"""JSON from strangers: one meaning or none."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.strict_json import MAX_DEPTH, MAX_NUMBER_CHARS, loads

MEBIBYTE = 1 << 20


def read(data: bytes, **limits: int) -> object:
    return loads(data, **{"max_bytes": MEBIBYTE, **limits})


def refused(data: bytes, **limits: int) -> str:
    with pytest.raises(FormatError) as error:
        read(data, **limits)
    return error.value.code


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values, st.booleans())
def test_well_formed_json_reads_as_the_standard_parser_reads_it(value: Any, ascii: bool) -> None:
    data = json.dumps(value, ensure_ascii=ascii).encode()
    assert read(data) == json.loads(data)


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused_with_the_typed_error(data: bytes) -> None:
    try:
        value = read(data)
    except FormatError:
        return
    assert value == json.loads(data)


@given(st.text('[]{}",:\\u d8a0159eE.-+tfn', max_size=120))
def test_texts_of_json_signs_are_never_more_than_the_standard_parser_takes(text: str) -> None:
    try:
        value = read(text.encode(), max_depth=3)
    except FormatError:
        return
    assert value == json.loads(text)
    assert depth(value) <= 3


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_counts_containers(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    deepest = opening * MAX_DEPTH + b"1" + closing * MAX_DEPTH
    assert depth(read(deepest)) == MAX_DEPTH
    assert refused(opening + deepest + closing) == "TOO_DEEP"
    assert refused(deepest, max_depth=MAX_DEPTH - 1) == "TOO_DEEP"


@pytest.mark.parametrize("quoted", [b"[" * 99, b'\\"' + b"[" * 99, b"\\\\", b'\\\\\\"' + b"{" * 99])
def test_brackets_in_strings_are_no_depth(quoted: bytes) -> None:
    assert read(b'["' + quoted + b'"]') == json.loads(b'["' + quoted + b'"]')
    nested = b'["' + quoted + b'",' + b"[" * MAX_DEPTH + b"]" * (MAX_DEPTH + 1)
    assert refused(nested) == "TOO_DEEP"


def test_wide_json_is_not_deep() -> None:
    assert read(b"[" + b"[]," * 1000 + b"[]]") == [[]] * 1001


@pytest.mark.parametrize(
    "data",
    [b"[" * MEBIBYTE, b'{"":' * 200_000, b'["' + b'\\"[' * 300_000, b'"' * MEBIBYTE],
    ids=["arrays", "objects", "an endless string", "quotes"],
)
def test_hostile_nesting_is_refused_in_one_pass(data: bytes) -> None:
    assert refused(data) in ("TOO_DEEP", "NOT_JSON")


@pytest.mark.parametrize(
    "data",
    [b'{"a":1,"a":1}', b'[{"x":{"a":1,"b":2,"a":3}}]', b'{"a":1,"\\u0061":2}', b'{"":1,"":2}'],
)
def test_repeated_keys_are_refused(data: bytes) -> None:
    assert refused(data) == "DUPLICATE_KEY"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b"[1,]",
        b"{'a':1}",
        b"NaN",
        b"[Infinity]",
        b'{"a":-Infinity}',
        b"1e999",
        b"-1e999",
        b"1 2",
        b"{}x",
        b"01",
        b"+1",
        b"\xff",
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b'"\\ud800"',
        b'{"\\uDFFF":1}',
        b'[["a\\ud83d"]]',
        b'"\x01"',
        "١".encode(),
        b"\x00",
        '{"a":1}'.encode("utf-16"),
    ],
)
def test_what_is_not_exactly_one_json_value_is_refused(data: bytes) -> None:
    assert refused(data) == "NOT_JSON"


def test_surrogate_pairs_are_text() -> None:
    assert read(b'["\\ud83d\\ude00", {"\\uD83D\\uDE00": 1}]') == ["😀", {"😀": 1}]


def test_integers_keep_their_digits_up_to_the_limit() -> None:
    digits = "9" * MAX_NUMBER_CHARS
    assert read(digits.encode()) == int(digits)
    assert refused(b"9" * (MAX_NUMBER_CHARS + 1)) == "NOT_JSON"
    assert refused(b"[0." + b"9" * MAX_NUMBER_CHARS + b"]") == "NOT_JSON"
    assert read(b"9007199254740993") == 9007199254740993


def test_doubles_are_finite() -> None:
    value = read(b"1.7976931348623157e308")
    assert isinstance(value, float)
    assert math.isfinite(value)


def test_size_is_bounded() -> None:
    assert read(b'"12345678"', max_bytes=10) == "12345678"
    assert refused(b'"123456789"', max_bytes=10) == "TOO_LARGE"
