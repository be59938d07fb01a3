"""Lines of an IMA log in ASCII, turned back into the bytes that were measured."""

import re
import struct
from collections.abc import Callable

from swt3_agent.errors import FormatError
from swt3_agent.tcg.ima_log.entry import ImaEntry
from swt3_agent.tcg.pcr import PCR_COUNT

_PADDED_PATH = 256
_LINE = re.compile(rb" ?([0-9]{1,2}) ((?:[0-9a-f]{2}){20,64}) ([!-~]{1,64})(?: (.*))?", re.DOTALL)
_HEX = re.compile(rb"(?:[0-9a-f]{2})*")
_DIGEST = re.compile(rb"([!-~]{1,64}:)((?:[0-9a-f]{2}){1,64})")


def parse_ascii_line(line: bytes, start: int, end: int) -> ImaEntry:
    """The entry of one line, which stands from ``start`` to ``end`` in the log.

    Raises FormatError IMA_LOG_ENTRY, IMA_LOG_TEMPLATE.
    """
    match = _LINE.fullmatch(line)
    if match is None or int(match[1]) >= PCR_COUNT:
        raise _no_entry(start)
    template = match[3].decode("ascii")
    build = _TEMPLATES.get(template)
    if build is None:
        raise FormatError(
            "IMA_LOG_TEMPLATE",
            f"the ASCII form of IMA template {template} cannot be turned back into what was"
            " measured",
            remedy="give the binary log, binary_runtime_measurements",
        )
    data = build((match[4] or b"").split(b" "))
    if data is None:
        raise _no_entry(start)
    return ImaEntry(int(match[1]), bytes.fromhex(match[2].decode()), template, data, end)


def _ima(fields: list[bytes]) -> bytes | None:
    if len(fields) != 2 or len(fields[0]) != 40 or not _HEX.fullmatch(fields[0]):
        return None
    return bytes.fromhex(fields[0].decode()) + fields[1].ljust(_PADDED_PATH, b"\0")


def _named(fields: list[bytes]) -> bytes | None:
    """Digest and name: the kernel itself writes spaces in names as underscores."""
    match = _DIGEST.fullmatch(fields[0])
    if len(fields) != 2 or match is None:
        return None
    digest = match[1] + b"\0" + bytes.fromhex(match[2].decode())
    return _sized(digest) + _sized(fields[1] + b"\0")


def _named_with_bytes(fields: list[bytes]) -> bytes | None:
    """Digest, name, and a signature or a buffer, which may be empty."""
    named = _named(fields[:2])
    if len(fields) != 3 or named is None or not _HEX.fullmatch(fields[2]):
        return None
    return named + _sized(bytes.fromhex(fields[2].decode()))


def _sized(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value


def _no_entry(start: int) -> FormatError:
    return FormatError(
        "IMA_LOG_ENTRY",
        f"no entry of an IMA log stands at byte {start}",
        remedy="take the log again from the kernel; if it stays so, it was altered",
    )


_TEMPLATES: dict[str, Callable[[list[bytes]], bytes | None]] = {
    "ima": _ima,
    "ima-ng": _named,
    "ima-ngv2": _named,
    "ima-sig": _named_with_bytes,
    "ima-sigv2": _named_with_bytes,
    "ima-buf": _named_with_bytes,
}
