"""A JSON object taken apart member by member, so that a long one stalls nobody.

The standard parser holds the interpreter until it is done: for an object of some megabytes up to
seconds, in which no other thread of the agent answers anybody. What a part means is
:mod:`swt3_agent.protocol.strict_json`'s matter; here is only where it begins and ends.
"""

import re
from collections.abc import Callable

from swt3_agent.collect.headers.header import malformed
from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json

_BEGIN = re.compile(rb"\{[ \t\r\n]*(\}?)")
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_NEXT = re.compile(rb"[ \t\r\n]*([,}])[ \t\r\n]*")
_QUOTE, _BACKSLASH = b'"', ord("\\")

ReadMember = Callable[[str, int], int]
"""Reads the value of the member of that name, which begins there; gives where the value ends."""


def read_members(data: bytes, at: int, read: ReadMember) -> int:
    """Read the object that begins at ``at``; gives the place behind it and the space after it.

    Raises FormatError SAFETENSORS_JSON, also for a name that stands there twice.
    """
    begin = _BEGIN.match(data, at)
    if begin is None:
        raise _wrong("an object does not begin where one is due")
    if begin[1]:
        return begin.end()
    names: set[str] = set()
    at = begin.end()
    while True:
        end = text_end(data, at)
        name = part(data[at:end])
        colon = _COLON.match(data, end)
        if not isinstance(name, str) or colon is None:
            raise _wrong(f"a name and a colon are due at byte {at}")
        if name in names:
            raise _wrong(f"{name[:80]!r} stands there twice")
        names.add(name)
        following = _NEXT.match(data, read(name, colon.end()))
        if following is None:
            raise _wrong(f"nothing follows {name[:80]!r} that may")
        at = following.end()
        if following[1] == b"}":
            return at


def text_end(data: bytes, at: int) -> int:
    """The place behind the text that begins at ``at``. Raises FormatError SAFETENSORS_JSON."""
    end = at if data.startswith(_QUOTE, at) else len(data)
    while (end := data.find(_QUOTE, end + 1)) >= 0:
        before = end
        while data[before - 1] == _BACKSLASH:
            before -= 1
        if (end - before) % 2 == 0:  # not escaped
            return end + 1
    raise _wrong(f"a text is due at byte {at}")


def part(data: bytes) -> object:
    """The value of one part, at most two levels deep. Raises FormatError SAFETENSORS_JSON."""
    try:
        return strict_json.loads(data, max_bytes=len(data), max_depth=2)
    except FormatError as error:
        raise malformed("SAFETENSORS_JSON", error.message) from error


def _wrong(detail: str) -> FormatError:
    return malformed("SAFETENSORS_JSON", detail)
