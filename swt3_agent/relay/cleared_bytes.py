"""A cleared record's bytes: what is kept stays as it was written, digit for digit.

A producer's numbers were hashed as it wrote them, and decoding and encoding them again could print
another text for the same number (docs/protocol.md 1.3).
"""

import json
from collections.abc import Mapping

import msgspec

_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def without(payload: bytes, fields: Mapping[str, object], cleared: Mapping[str, object]) -> bytes:
    """``payload`` with just those members that ``cleared`` has, in their order.

    ``fields`` is what ``payload`` was strictly read as, and ``cleared`` what clearing left of
    that. Members that clearing left alone keep their bytes, others are compact JSON.
    """
    raw: dict[str, msgspec.Raw] = _decode_raw(payload)
    members = []
    for name, value in cleared.items():
        text = bytes(raw[name]) if value == fields[name] else _encode(value).encode()
        members.append(_encode(name).encode() + b":" + text)
    return b"{" + b",".join(members) + b"}"
