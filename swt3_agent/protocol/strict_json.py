"""JSON from strangers: one meaning or none.

Refuses what two readers could understand differently (repeated keys, NaN, lone surrogates) and
what could exhaust a reader (size, depth, endless numbers). Work and memory are linear in the size
of the input. Standard library only.
"""

import json
import math
import re
from typing import NoReturn

from swt3_agent.errors import FormatError

MAX_DEPTH = 32
MAX_NUMBER_CHARS = 4096

MALFORMED = (ValueError, RecursionError)
"""What msgspec raises for bytes that are not what it was asked for: its own errors are ValueErrors,
and it lets UnicodeDecodeError and RecursionError through."""

_STRING = re.compile(rb'"[^"]*"?')
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(data: bytes, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> object:
    """The one JSON value that ``data`` is.

    ``max_depth`` counts nested arrays and objects: ``{}`` is 1 deep. Integers keep all their
    digits.

    Raises FormatError: TOO_LARGE beyond ``max_bytes``, TOO_DEEP beyond ``max_depth``,
    DUPLICATE_KEY for an object with a repeated key, NOT_JSON for everything else that is not
    UTF-8 JSON with finite numbers of up to 4096 characters and well-formed Unicode.
    """
    if len(data) > max_bytes:
        raise FormatError(
            "TOO_LARGE",
            f"JSON of {len(data)} bytes exceeds the limit of {max_bytes}",
            remedy="send less at once",
        )
    check_depth(data, max_depth)
    try:
        value: object = _DECODER.decode(data.decode())
        if _SURROGATE_ESCAPE.search(data):
            _check_unicode(value)
    except (ValueError, RecursionError) as error:
        raise _not_json(str(error)) from error
    return value


def check_depth(data: bytes, max_depth: int = MAX_DEPTH) -> None:
    """Raise FormatError TOO_DEEP where JSON is nested deeper than ``max_depth``.

    Needs no parser, which would have recursed already.
    """
    if data.count(b"[") + data.count(b"{") <= max_depth:
        return
    # With its escapes gone a string ends at the next quote. A backslash outside of a string only
    # disturbs what follows it, and there the parser stops.
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    depth = 0
    for bracket in _STRING.sub(b"", unescaped).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > max_depth:
            raise FormatError(
                "TOO_DEEP",
                f"JSON is nested deeper than {max_depth} levels",
                remedy="send a flatter structure",
            )


def _check_unicode(value: object) -> None:
    """Raise UnicodeEncodeError, a ValueError, for a text with a lone surrogate."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            item.encode()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            waiting += item
            waiting += item.values()


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise FormatError(
            "DUPLICATE_KEY",
            "an object repeats a key",
            remedy="send every key of an object once",
        )
    return members


def _integer(text: str) -> int:
    _check_length(text)
    return int(text)


def _double(text: str) -> float:
    _check_length(text)
    number = float(text)
    if not math.isfinite(number):
        raise _not_json("a number is beyond the range of a double")
    return number


def _check_length(text: str) -> None:
    if len(text) > MAX_NUMBER_CHARS:
        raise _not_json(f"a number has more than {MAX_NUMBER_CHARS} characters")


def _constant(name: str) -> NoReturn:
    raise _not_json(f"{name} is not a JSON number")


def _not_json(detail: str) -> FormatError:
    return FormatError(
        "NOT_JSON",
        f"the data is not one JSON value: {detail[:200]}",
        remedy="send one UTF-8 JSON value without NaN, infinity or lone surrogates",
    )


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_double,
    parse_constant=_constant,
)
