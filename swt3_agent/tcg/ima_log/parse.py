"""IMA logs as the kernel shows them, as a stream: they grow for as long as a machine runs.

    binary   u32 PCR | template hash | u32 n | n bytes template name | u32 m | m bytes template data
             (template "ima": no m; 20 bytes digest | u32 n | n bytes path)
    ASCII    PCR, template hash in hex, template name and fields, a space between, one line each

Numbers are little-endian: so are the machines that this agent runs on.
"""

import struct
from collections.abc import Iterable, Iterator

from swt3_agent.errors import FormatError
from swt3_agent.tcg.ima_log.ascii_line import parse_ascii_line
from swt3_agent.tcg.ima_log.entry import ImaEntry
from swt3_agent.tcg.pcr import PCR_COUNT

MAX_IMA_LOG = 256 * 2**20
MAX_NAME = 64
MAX_DATA = 4 * 2**20
MAX_LINE = 2 * MAX_DATA

_U32 = struct.Struct("<I")
_DIGEST = 20
_PADDED_PATH = 256  # IMA_EVENT_NAME_LEN_MAX + 1: what template "ima" hashes


def parse_ima_log(
    source: bytes | Iterable[bytes], *, offset: int = 0, hash_size: int = 20
) -> Iterator[ImaEntry]:
    """The entries of a log, binary or ASCII, one after the other.

    ``source`` is the log or pieces of it in order. ``offset`` is where it begins in the whole log:
    the ``end`` of the entry before it. ``hash_size``: bytes of a template hash in a binary log, 20
    but for the logs of one bank that newer kernels show (binary_runtime_measurements_sha256).

    Raises FormatError, after the entries before the fault: IMA_LOG_OVERSIZED beyond 256 MiB,
    IMA_LOG_TRUNCATED where the log stops in the midst of an entry, IMA_LOG_ENTRY for bytes that
    are no entry, IMA_LOG_TEMPLATE for an ASCII entry that cannot be turned back into the bytes that
    were measured.
    """
    window = _Window((source,) if isinstance(source, bytes) else source, offset)
    if not window.has(1):
        return
    if window.peek(1) in b" 0123456789" and window.peek(1) != b"\n":
        yield from _ascii_entries(window)
    else:
        yield from _binary_entries(window, hash_size)


def _binary_entries(window: "_Window", hash_size: int) -> Iterator[ImaEntry]:
    while window.has(1):
        pcr = window.u32()
        if pcr >= PCR_COUNT:
            raise _bad_entry(window.offset, f"it names PCR {pcr}")
        template_hash = window.take(hash_size)
        size = window.u32()
        if not 0 < size <= MAX_NAME:
            raise _bad_entry(window.offset, f"its template has a name of {size} bytes")
        name = window.take(size)
        if not name.isascii() or not name.decode("ascii").isprintable():
            raise _bad_entry(window.offset, "its template has no printable name")
        if name == b"ima":
            data = window.take(_DIGEST) + _path(window).ljust(_PADDED_PATH, b"\0")
        else:
            data = window.take(_bounded(window, MAX_DATA))
        yield ImaEntry(pcr, template_hash, name.decode("ascii"), data, window.offset)


def _ascii_entries(window: "_Window") -> Iterator[ImaEntry]:
    while window.has(1):
        start = window.offset
        line = window.line()
        yield parse_ascii_line(line, start, window.offset)


def _path(window: "_Window") -> bytes:
    return window.take(_bounded(window, _PADDED_PATH))


def _bounded(window: "_Window", limit: int) -> int:
    size = window.u32()
    if size > limit:
        raise _bad_entry(window.offset, f"it holds {size} bytes, at most {limit} are read")
    return size


class _Window:
    """What of the log is in memory: the entry that is being read, and the piece it ends in."""

    __slots__ = ("_base", "_begin", "_data", "_pieces", "_position")

    def __init__(self, pieces: Iterable[bytes], offset: int) -> None:
        self._pieces = iter(pieces)
        self._begin = offset
        self._base = offset  # where ``_data`` begins in the whole log
        self._data = b""
        self._position = 0

    @property
    def offset(self) -> int:
        return self._base + self._position

    def has(self, size: int) -> bool:
        """Whether ``size`` more bytes are there, after fetching what is missing."""
        missing = self._position + size - len(self._data)
        if missing <= 0:
            return True
        rest = self._data[self._position :]
        kept = [rest] if rest else []  # one piece alone is joined without a copy
        self._base, self._position = self.offset, 0
        for piece in self._pieces:
            kept.append(piece)
            missing -= len(piece)
            if missing <= 0:
                break
        self._data = b"".join(kept)
        if self._base + len(self._data) - self._begin > MAX_IMA_LOG:
            raise FormatError(
                "IMA_LOG_OVERSIZED",
                f"the IMA log has more than {MAX_IMA_LOG} bytes",
                remedy="measure less by a narrower IMA policy, or go on from an earlier replay",
            )
        return missing <= 0

    def peek(self, size: int) -> bytes:
        return self._data[self._position : self._position + size]

    def take(self, size: int) -> bytes:
        position = self._position
        if position + size > len(self._data):
            if not self.has(size):
                raise _cut_off(self.offset)
            position = self._position
        self._position = position + size
        return self._data[position : position + size]

    def u32(self) -> int:
        value: int = _U32.unpack(self.take(4))[0]
        return value

    def line(self) -> bytes:
        """Up to and without the next line end."""
        searched = 0
        while (end := self._data.find(b"\n", self._position + searched)) < 0:
            searched = len(self._data) - self._position
            if searched > MAX_LINE:
                raise _bad_entry(self.offset, f"its line is longer than {MAX_LINE} bytes")
            if not self.has(searched + 1):
                raise _cut_off(self.offset)
        line = self._data[self._position : end]
        self._position = end + 1
        return line


def _bad_entry(offset: int, what: str) -> FormatError:
    return FormatError(
        "IMA_LOG_ENTRY",
        f"no entry of an IMA log stands at byte {offset}: {what}",
        remedy="take the log again from the kernel; if it stays so, it was altered",
    )


def _cut_off(offset: int) -> FormatError:
    return FormatError(
        "IMA_LOG_TRUNCATED",
        f"the IMA log stops at byte {offset}, in the midst of an entry",
        remedy="take the log again, whole",
    )
