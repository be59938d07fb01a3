"""The one shape of a tar file that a bundle has (POSIX.1-1988 ustar, docs/formats.md, "Bundle").

Plain files only, owned by nobody, made at no time: the same members always give the same bytes. A
reader accepts exactly what ``member_header`` writes, so that links, devices, extended headers and
paths that lead elsewhere do not have to be told apart: none of them can be spelled.
"""

from swt3_agent.errors import FormatError

BLOCK = 512
END = bytes(2 * BLOCK)
"""What follows the last member, and ends the file."""

MAX_NAME = 99
MAX_SIZE = 8**11 - 1

_MODE, _NOBODY, _NO_TIME = b"0000644\0", b"0000000\0", b"00000000000\0"
_REGULAR, _MAGIC, _NO_DEVICE = b"0", b"ustar\x0000", b"0000000\0"
_BLANK_CHECKSUM = b" " * 8


def member_header(name: str, size: int) -> bytes:
    """The header of a file of ``size`` bytes. Raises FormatError ``BUNDLE_TOO_LARGE``."""
    encoded = name.encode("ascii", "replace")
    if not 0 < len(encoded) <= MAX_NAME or not 0 <= size <= MAX_SIZE:
        raise FormatError(
            "BUNDLE_TOO_LARGE",
            f"a member {name[:64]!a} of {size} bytes does not fit a ustar header",
            remedy="export fewer records at once",
        )
    before = encoded.ljust(100, b"\0") + _MODE + _NOBODY + _NOBODY + b"%011o\0" % size + _NO_TIME
    after = _REGULAR + bytes(100) + _MAGIC + bytes(64) + _NO_DEVICE + _NO_DEVICE
    checksum = sum(before) + sum(_BLANK_CHECKSUM) + sum(after)
    return (before + b"%06o\0 " % checksum + after).ljust(BLOCK, b"\0")


def parse_header(block: bytes) -> tuple[str, int]:
    """Name and size of the member whose ``member_header`` is ``block``.

    Raises FormatError ``BUNDLE_HEADER`` for every other header.
    """
    name = block[:100].rstrip(b"\0")
    size = block[124:135]
    if name.isascii() and name and size.isdigit() and b"8" not in size and b"9" not in size:
        text, length = name.decode(), int(size, 8)
        if len(name) <= MAX_NAME and member_header(text, length) == block:
            return text, length
    raise FormatError(
        "BUNDLE_HEADER",
        f"a tar header for {name[:64].decode('latin-1')!a} is not that of a plain file as an"
        " export writes it",
        remedy="fetch the bundle again from where it was made, byte for byte: do not pack it anew",
    )


def padding(size: int) -> int:
    """Zero bytes between the end of a member of ``size`` bytes and the next header."""
    return -size % BLOCK


def is_ustar(block: bytes) -> bool:
    """Whether a file that begins with ``block`` claims to be a ustar file."""
    return block[257:262] == _MAGIC[:5]
