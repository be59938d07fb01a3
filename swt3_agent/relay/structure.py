"""Proof that a record repeats no key and is not nested too deep, at the speed of a decoder.

JSON decoders keep the last of two equal keys and say nothing. Two readers of one record could then
disagree on what it says, so such a record is refused. The proof counts colons: every key owns
exactly one ``:`` byte outside of strings, and decoding and encoding again keeps those in strings,
so a text that has as many colons as its own re-encoding repeats no key.
"""

import msgspec

from swt3_agent.protocol import strict_json

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def check_structure(payload: bytes, max_depth: int) -> None:
    """Raise FormatError unless ``payload`` is one JSON value that every reader reads alike.

    Codes and ``max_depth`` are those of :func:`swt3_agent.protocol.strict_json.loads`, which
    judges whatever the count cannot decide.
    """
    if not _is_plainly_sound(payload, max_depth):
        strict_json.loads(payload, max_bytes=len(payload), max_depth=max_depth)


def _is_plainly_sound(payload: bytes, max_depth: int) -> bool:
    if payload.count(b"{") + payload.count(b"[") > max_depth:
        return False  # perhaps beside each other, perhaps in a string
    if b"\\u003" in payload:
        return False  # perhaps a colon in a string, which the re-encoding would not escape
    try:
        value = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    colons: int = _encode(value).count(b":")
    return payload.count(b":") == colons
