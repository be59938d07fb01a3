"""The quick proof of structure agrees with the strict reader on every input."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.relay.structure import check_structure

_text = st.text(alphabet=st.sampled_from('a:"\\é\x00{[,'), max_size=4)
_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _text


class _Pairs(list[tuple[str, Any]]):
    """An object that may repeat its keys."""


def _written(value: Any, escape: bool) -> str:
    if isinstance(value, _Pairs):
        members = (f"{_written(k, escape)}:{_written(v, escape)}" for k, v in value)
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(item, escape) for item in value) + "]"
    text = json.dumps(value)
    return text.replace(":", "\\u003a") if escape and isinstance(value, str) else text


_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(_text, inner), max_size=4).map(_Pairs)
    ),
    max_leaves=12,
)


def _verdict(check: Any) -> str:
    try:
        check()
    except FormatError as error:
        return error.code
    return "sound"


@given(value=_values, escape=st.booleans(), max_depth=st.integers(1, 4))
def test_agrees_with_the_strict_reader(value: Any, escape: bool, max_depth: int) -> None:
    payload = _written(value, escape).encode()
    assert _verdict(lambda: check_structure(payload, max_depth)) == _verdict(
        lambda: strict_json.loads(payload, max_bytes=len(payload), max_depth=max_depth)
    )


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"a":1,"a":2}', "DUPLICATE_KEY"),
        (b'{"a":1,"\\u0061":2}', "DUPLICATE_KEY"),
        (b'{"a":"\\u003a\\u003a","a":2}', "DUPLICATE_KEY"),
        (b'{"a":[{"b":1,"b":1}]}', "DUPLICATE_KEY"),
        (b"[" * 40 + b"]" * 40, "TOO_DEEP"),
        (b'{"a":1e999}', "NOT_JSON"),
        (b'{"a":NaN}', "NOT_JSON"),
        (b'{"a":"\\ud800"}', "NOT_JSON"),
        (b'{"a":"\xff"}', "NOT_JSON"),
    ],
)
def test_refuses_what_two_readers_could_read_differently(payload: bytes, code: str) -> None:
    with pytest.raises(FormatError) as raised:
        check_structure(payload, 32)
    assert raised.value.code == code


def test_brackets_in_texts_and_side_by_side_are_no_depth() -> None:
    check_structure(json.dumps({"a": "[" * 100, "b": [[]] * 100}).encode(), 3)
