"""Canonical JSON: RFC 8785."""

import json

import pytest

from swt3_agent.errors import FormatError
from swt3_agent.protocol.canonical import canonical_json


def test_keys_are_sorted_by_utf16_and_numbers_are_those_of_ecmascript() -> None:
    value = {"\ufb33": 1, "😀": 2.0, "b": [1e21, 1e-7, 0.000001], "a": {"z": None, "y": True}}
    text = '{"a":{"y":true,"z":null},"b":[1e+21,1e-7,0.000001],"😀":2,"\ufb33":1}'
    assert canonical_json(value) == text.encode()


def test_canonical_bytes_read_back_and_canonicalise_to_themselves() -> None:
    data = canonical_json({"b": "é\n\u2028", "a": [1, -1, 2**53 - 1]})
    assert canonical_json(json.loads(data)) == data


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 2**53, "\ud800", {1: 2}, {"a": object()}, b"bytes", {"\ud800": 1}],
    ids=range(8),
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(FormatError) as error:
        canonical_json(value)
    assert error.value.code == "NOT_CANONICAL"


def test_endless_nesting_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(FormatError, match="canonical"):
        canonical_json(value)
