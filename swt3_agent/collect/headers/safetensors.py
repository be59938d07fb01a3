"""The header of a safetensors file.

    u64le n | n bytes of JSON | tensors, one after the other, to the end of the file

The JSON maps each name to ``dtype``, ``shape`` and ``data_offsets`` (begin and end within the
tensors); ``__metadata__`` maps text to text. As the reference reader does, this one refuses what
overlaps, leaves a gap, or does not end where the file does: such room hides content.
"""

import hashlib
import re
from collections.abc import Mapping

from swt3_agent.collect.headers.header import Header, TypeTotal, added, malformed, read_at
from swt3_agent.collect.headers.members import part, read_members, text_end
from swt3_agent.errors import FormatError

FORMAT_LIMIT = 100_000_000  # bytes of JSON that the format allows
MOST_BYTES = 16 << 20  # that are taken: 110,000 tensors, as adapters of many experts have them

_MOST_DIMENSIONS = 32
_LARGEST = 1 << 62  # of one dimension; what it multiplies to is compared with the file
_TENSOR = re.compile(rb"\{[^{}]{0,4096}\}")
_MOST_METADATA = 16  # entries kept; the digest covers all
_MOST_ENTRIES = 65_536  # of metadata
_MOST_TEXT = 256  # characters of each that is kept

_BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip

_PART = re.compile(r"\.(qweight|qzeros|g_idx|scales|weight_packed|SCB|absmax|lora_[AB])(?=\.|$)")


def read_safetensors(descriptor: int, file_size: int, *, most_bytes: int = MOST_BYTES) -> Header:
    """Read the header of a file of ``file_size`` bytes.

    Raises FormatError: SAFETENSORS_TRUNCATED, SAFETENSORS_TOO_LARGE, SAFETENSORS_JSON,
    SAFETENSORS_TENSOR, SAFETENSORS_LAYOUT, SAFETENSORS_METADATA. Raises ``OSError``.
    """
    start = read_at(descriptor, 8, 0)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > file_size - 8:
        raise malformed("SAFETENSORS_TRUNCATED", f"it claims {length} bytes of a file that ends")
    if length > min(most_bytes, FORMAT_LIMIT):
        limit = min(most_bytes, FORMAT_LIMIT)
        raise malformed("SAFETENSORS_TOO_LARGE", f"it claims {length} bytes, {limit} are taken")
    text = read_at(descriptor, length, 8)
    if len(text) < length:
        raise malformed("SAFETENSORS_TRUNCATED", "the file ended while it was read")
    types: dict[str, TypeTotal] = {}
    parts: dict[str, int] = {}
    metadata: dict[str, str | int] = {}
    parameters = 0
    ranges = []

    def read_entry(name: str, at: int) -> int:
        nonlocal parameters
        if name == "__metadata__":
            return _read_metadata(text, at, metadata)
        kind, elements, begin, end, behind = _read_tensor(name, text, at)
        added(types, kind, end - begin)
        parameters += elements
        ranges.append((begin, end))
        if (part := _PART.search(name)) is not None:
            parts[part[1]] = parts.get(part[1], 0) + 1
        return behind

    if (behind := read_members(text, 0, read_entry)) < length and text[behind:].strip(b" \t\r\n"):
        raise malformed("SAFETENSORS_JSON", "something stands behind the object")
    _check_layout(sorted(ranges), file_size - 8 - length)
    return Header(
        format="safetensors",
        digest=hashlib.sha256(start + text).hexdigest(),
        size=8 + length,
        parameters=parameters,
        types=types,
        parts=parts,
        metadata=dict(sorted(metadata.items())[:_MOST_METADATA]),
    )


def _read_metadata(data: bytes, at: int, short: dict[str, str | int]) -> int:
    """Fill in the entries that are short; gives where the metadata end."""
    entries = 0

    def read_text(key: str, at: int) -> int:
        nonlocal entries
        entries += 1
        if data[at : at + 1] != b'"' or entries > _MOST_ENTRIES:
            raise _no_metadata()
        end = text_end(data, at)
        text = part(data[at:end])
        if isinstance(text, str) and len(key) <= _MOST_TEXT and len(text) <= _MOST_TEXT:
            short[key] = text
        return end

    if data[at : at + 1] != b"{":
        raise _no_metadata()
    return read_members(data, at, read_text)


def _no_metadata() -> FormatError:
    detail = f"its metadata are not a map of text to text of up to {_MOST_ENTRIES} entries"
    return malformed("SAFETENSORS_METADATA", detail)


def _read_tensor(name: str, data: bytes, at: int) -> tuple[str, int, int, int, int]:
    """Type, elements, begin and end, and where the description ends. The name is quoted at most in
    part."""
    shown = repr(name[:80])
    found = _TENSOR.match(data, at)
    entry = None if found is None else part(found[0])
    if (
        found is None
        or not isinstance(entry, Mapping)
        or set(entry) != {"dtype", "shape", "data_offsets"}
    ):
        raise malformed("SAFETENSORS_TENSOR", f"{shown} is not described as a tensor is")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _BITS:
        raise malformed("SAFETENSORS_TENSOR", f"{shown} is of the unknown type {str(kind)[:20]!r}")
    if not _are_sizes(shape) or len(shape) > _MOST_DIMENSIONS:
        raise malformed("SAFETENSORS_TENSOR", f"{shown} has no shape")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise malformed("SAFETENSORS_TENSOR", f"{shown} has no place")
    elements = 1
    for size in shape:
        elements *= size
    begin, end = offsets
    if elements * _BITS[kind] != (end - begin) * 8:
        raise malformed(
            "SAFETENSORS_TENSOR", f"the place of {shown} is not of the size that its shape needs"
        )
    return kind, elements, begin, end, found.end()


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(
        type(number) is int and 0 <= number < _LARGEST for number in value
    )


def _check_layout(ranges: list[tuple[int, int]], room: int) -> None:
    """Refuse an overlap, a gap, and an end that is not the end of the file."""
    reached = 0
    for begin, end in ranges:
        if begin != reached:
            what = "overlap" if begin < reached else "leave a gap"
            raise malformed("SAFETENSORS_LAYOUT", f"its tensors {what} at byte {reached}")
        reached = end
    if reached != room:
        code = "SAFETENSORS_TRUNCATED" if reached > room else "SAFETENSORS_LAYOUT"
        raise malformed(code, f"its tensors take {reached} bytes of {room}")
