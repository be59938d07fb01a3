"""Sealed segments: full ones, compressed, with their frames as they were.

    file   = chunk* footer
    chunk  = one Zstandard frame (RFC 8878) with checksum: whole journal frames, up to 512 of them
    footer = one skippable frame: fixed head | chunk index | CRC-32 of both | u32le content size

Chunks are independent, so that one record costs one chunk to read, and ``zstd -d`` of the file
gives the segment's frames again. The footer keeps the segment's subtree root, so that opening a
log needs no hashing of what is sealed; ``fsck`` recomputes it.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from struct import error as StructError  # noqa: N812  # it is an exception, and reads like one
from zlib import crc32

import zstandard

from swt3_agent.errors import JournalError
from swt3_agent.store.durable import (
    PRIVATE_FILE,
    TEMPORARY_SUFFIX,
    read_exactly,
    sync_directory,
    write_all,
)
from swt3_agent.store.segment_file import (
    SEGMENT_RECORDS,
    SLICE_RECORDS,
    SegmentFile,
    segment_name,
)

SEALED_SUFFIX = ".seg.zst"
_LEVEL = 1  # of typical anchors smaller than level 3 (49 bytes a record to 55), and quicker
_MAX_CHUNK = 512 * 1024 * 1024  # a chunk is a slice: records up to 1 MiB together, or a larger one

_SKIPPABLE = Struct("<II")
_SKIPPABLE_MAGIC = 0x184D2A5E
_HEAD = Struct("<8sHHIQ32s")
_MAGIC = b"swt3seal"
_VERSION = 1
_CHUNK = Struct("<IQI")
_TAIL = Struct("<II")
_unpack_length = Struct("<I").unpack_from


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Records from ``first`` (within the segment) on, at ``offset``, ``size`` bytes compressed."""

    first: int
    offset: int
    size: int


class SealedSegment:
    """A sealed segment, open for reading by any thread."""

    def __init__(self, path: Path, number: int, root: bytes, chunks: list[_Chunk]) -> None:
        self.path = path
        self.number = number
        self.root = root
        self.count = SEGMENT_RECORDS
        self._chunks = chunks
        self._firsts = [chunk.first for chunk in chunks]
        self._recent: tuple[int, bytes] = (-1, b"")

    @classmethod
    def open(cls, path: Path, number: int) -> "SealedSegment":
        """Read the footer. Raises JournalError ``SEGMENT_DAMAGED``, FileNotFoundError, OSError."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            root, chunks = _read_footer(fd, number)
        except (StructError, ValueError) as error:
            raise damaged(path, f"its footer is not whole ({error})") from None
        finally:
            os.close(fd)
        return cls(path, number, root, chunks)

    @property
    def chunk_starts(self) -> list[int]:
        """First record of each chunk, counted within the segment."""
        return list(self._firsts)

    def frames_from(self, start: int, stop: int) -> tuple[bytes, int]:
        """Frames of records from ``start``, and how many: to ``stop`` or the end of their chunk.

        Raises JournalError ``SEGMENT_DAMAGED``.
        """
        index = bisect_right(self._firsts, start) - 1
        first = self._firsts[index]
        after = self._firsts[index + 1] if index + 1 < len(self._firsts) else self.count
        data = self._chunk(index)
        stop = min(stop, after)
        if (start, stop) == (first, after):
            return data, stop - start
        begin = _skip_frames(data, 0, start - first)
        end = _skip_frames(data, begin, stop - start)
        return data[begin:end], stop - start

    def _chunk(self, index: int) -> bytes:
        cached, data = self._recent
        if cached == index:
            return data
        chunk = self._chunks[index]
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            compressed = read_exactly(fd, chunk.size, chunk.offset)
        finally:
            os.close(fd)
        try:
            data = zstandard.ZstdDecompressor().decompress(
                compressed, max_output_size=_MAX_CHUNK, allow_extra_data=False
            )
        except zstandard.ZstdError as error:
            raise damaged(
                self.path, f"the chunk from record {chunk.first} on does not decompress ({error})"
            ) from None
        self._recent = (index, data)
        return data


def sealed_path(directory: Path, number: int) -> Path:
    """Where a sealed segment lies."""
    return directory / f"{segment_name(number)}{SEALED_SUFFIX}"


def seal(segment: SegmentFile, root: bytes) -> SealedSegment:
    """Write the sealed form of a full segment durably beside it, and read it back.

    It gets its name only then: a start that finds both forms deletes the raw one. Raises OSError,
    or JournalError ``SEGMENT_DAMAGED`` where what was read back differs; then there is no sealed
    file.
    """
    directory = segment.path.parent
    path = sealed_path(directory, segment.number)
    temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
    try:
        _write_sealed(temporary, segment, root)
        _compare(SealedSegment.open(temporary, segment.number), segment)
        temporary.rename(path)
        sync_directory(directory)
        return SealedSegment.open(path, segment.number)
    except BaseException:
        temporary.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise


def _write_sealed(path: Path, segment: SegmentFile, root: bytes) -> None:
    compressor = zstandard.ZstdCompressor(
        level=_LEVEL, write_checksum=True, write_content_size=True
    )
    chunks: list[_Chunk] = []
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        offset = 0
        for first, frames, _ in _slices(segment):
            compressed = compressor.compress(frames)
            write_all(fd, compressed, offset)
            chunks.append(_Chunk(first, offset, len(compressed)))
            offset += len(compressed)
        write_all(fd, _footer(segment.number, root, chunks), offset)
        os.fsync(fd)
    finally:
        os.close(fd)


def _compare(sealed: SealedSegment, segment: SegmentFile) -> None:
    for first, frames, count in _slices(segment):
        if sealed.frames_from(first, first + count) != (frames, count):
            raise damaged(sealed.path, f"the chunk from record {first} on reads back differently")


def _slices(segment: SegmentFile) -> Iterator[tuple[int, bytes, int]]:
    first = 0
    while first < SEGMENT_RECORDS:
        frames, count = segment.frames_from(first, min(first + SLICE_RECORDS, SEGMENT_RECORDS))
        yield first, frames, count
        first += count


def _footer(number: int, root: bytes, chunks: list[_Chunk]) -> bytes:
    content = _HEAD.pack(_MAGIC, _VERSION, 0, len(chunks), number, root) + b"".join(
        _CHUNK.pack(chunk.first, chunk.offset, chunk.size) for chunk in chunks
    )
    size = len(content) + _TAIL.size
    content += _TAIL.pack(crc32(content), size)
    return _SKIPPABLE.pack(_SKIPPABLE_MAGIC, size) + content


def _read_footer(fd: int, number: int) -> tuple[bytes, list[_Chunk]]:
    file_size = os.fstat(fd).st_size
    (size,) = _unpack_length(read_exactly(fd, 4, max(0, file_size - 4)))
    start = file_size - size
    if not _HEAD.size + _TAIL.size <= size <= file_size - _SKIPPABLE.size:
        raise ValueError("its size is impossible")
    content = read_exactly(fd, size, start)
    body = content[: -_TAIL.size]
    if _TAIL.unpack_from(content, len(body)) != (crc32(body), size):
        raise ValueError("its CRC-32 does not match")
    magic, version, _, count, footer_number, root = _HEAD.unpack_from(body)
    if (magic, version, footer_number) != (_MAGIC, _VERSION, number):
        raise ValueError(f"it is of segment {footer_number}, version {version}")
    chunks = [_Chunk(*fields) for fields in _CHUNK.iter_unpack(body[_HEAD.size :])]
    if count == 0 or len(chunks) != count or chunks[0].first != 0:
        raise ValueError("its chunk index is not whole")
    return root, chunks


def _skip_frames(data: bytes, at: int, count: int) -> int:
    for _ in range(count):
        at += 8 + _unpack_length(data, at)[0]
    return at


def damaged(path: Path, what: str) -> JournalError:
    """The error of a segment that cannot be read as it was written."""
    return JournalError(
        "SEGMENT_DAMAGED",
        f"{path} is damaged: {what}",
        remedy="run `swt3-agent fsck`, and restore the segment from a backup",
    )
