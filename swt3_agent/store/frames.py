"""Reading many frames at once: the same rules as ``protocol.record``, at bulk speed.

``protocol.record`` says what a frame is and reads one strictly. Starting up and following the log
touch every record, so here is a scan that checks without building records, and a split that only
takes apart frames which are known to be good. Whatever the scan does not know to be good it leaves
to the strict reader to explain.
"""

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from zlib import crc32

from swt3_agent.errors import FormatError
from swt3_agent.protocol.record import (
    FLAG_COMMIT_END,
    FLAG_COMMIT_START,
    FRAME_HEAD,
    KNOWN_FLAGS,
    MAX_BODY,
    RECORD_VERSION,
    Kind,
    Record,
    iter_frames,
)
from swt3_agent.store.durable import read_exactly

# Head of frame and body in one: length, crc, version, kind, flags, seq, received_ns, n
_HEADS = Struct("<IIBBHQQI")
_LENGTHS = Struct("<I5xB18xI")  # of these, length, kind and n
_COUNT_SIZE = 4
_MIN_BODY = _HEADS.size - FRAME_HEAD.size + _COUNT_SIZE
_MAX_KIND = max(Kind)
_unpack_count = Struct("<I").unpack_from

_WINDOW = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RecordSlice:
    """A run of records from ``first_seq`` on: what leaf hashing and indexing need of them."""

    first_seq: int
    kinds: list[int]
    contents: list[tuple[bytes, bytes]]  # provenance, payload

    @property
    def end_seq(self) -> int:
        """The number after the last."""
        return self.first_seq + len(self.kinds)

    def since(self, seq: int) -> "RecordSlice":
        """The records from ``seq`` on."""
        if seq == self.first_seq:
            return self
        skip = seq - self.first_seq
        return RecordSlice(seq, self.kinds[skip:], self.contents[skip:])


@dataclass(frozen=True, slots=True)
class FrameScan:
    """What a segment file holds from its beginning.

    ``offsets`` are the starts of all good frames and ``end`` is the byte after the last.
    ``complete`` counts the records up to the last end of a commit. ``fault`` says what is wrong
    with the frame at ``end``; it is empty where data simply stops there.
    """

    offsets: "array[int]"
    end: int
    complete: int
    fault: str


def scan_segment(fd: int, first_seq: int, most: int, known: FrameScan | None = None) -> FrameScan:
    """Check the frames of a segment file, ``most`` records at most.

    ``known`` is what an earlier scan found good: the scan goes on from its end.
    """
    offsets = known.offsets[:] if known else array("Q")
    position = known.end if known else 0
    complete = known.complete if known else 0
    size = _WINDOW
    while len(offsets) < most:
        window = read_exactly(fd, size, position)
        used, ended = _scan_window(window, position, first_seq, most, offsets)
        complete = max(complete, ended)
        position += used
        if used:
            size = _WINDOW
        elif size == _WINDOW:
            size = FRAME_HEAD.size + MAX_BODY  # a frame may be larger than a window
        else:
            return FrameScan(
                offsets, position, complete, _explain(window, first_seq + len(offsets))
            )
    return FrameScan(offsets, position, complete, "")


def _scan_window(
    window: bytes, base: int, first_seq: int, most: int, offsets: "array[int]"
) -> tuple[int, int]:
    """Append the starts of good frames; bytes they take, and records up to the last commit end."""
    unpack, add = _HEADS.unpack_from, offsets.append
    at, ended = 0, 0
    limit = len(window) - _HEADS.size - _COUNT_SIZE
    seq = first_seq + len(offsets)
    last = first_seq + most
    while at <= limit and seq < last:
        length, crc, version, kind, flags, frame_seq, _, n = unpack(window, at)
        end = at + 8 + length
        payload_at = at + 36 + n
        if (
            frame_seq != seq
            or end > len(window)
            or version != RECORD_VERSION
            or not 0 < kind <= _MAX_KIND
            or flags & ~KNOWN_FLAGS
            or not _MIN_BODY <= length <= MAX_BODY
            or payload_at > end
            or payload_at + _unpack_count(window, payload_at - 4)[0] != end
            or crc32(window[at + 8 : end]) != crc
        ):
            break
        add(base + at)
        at = end
        seq += 1
        if flags & FLAG_COMMIT_END:
            ended = seq - first_seq
    return at, ended


def _explain(window: bytes, expected_seq: int) -> str:
    """Why the first frame of ``window`` is not the record ``expected_seq``; empty: data ends."""
    try:
        for record, _, _ in iter_frames(window):
            return f"record {record.seq} stands where record {expected_seq} belongs"
    except FormatError as error:
        return error.message
    return ""


def split_frames(data: bytes, first_seq: int, count: int) -> RecordSlice:
    """Take ``count`` good frames apart. Checks nothing: see ``scan_segment``."""
    unpack = _LENGTHS.unpack_from
    kinds: list[int] = []
    contents: list[tuple[bytes, bytes]] = []
    add_kind, add_content = kinds.append, contents.append
    at = 0
    for _ in range(count):
        length, kind, n = unpack(data, at)
        provenance_end = at + 32 + n
        end = at + 8 + length
        add_kind(kind)
        add_content((data[at + 32 : provenance_end], data[provenance_end + 4 : end]))
        at = end
    return RecordSlice(first_seq, kinds, contents)


def last_byte_in_use(fd: int, start: int) -> int:
    """End of the data from byte ``start`` on: the byte after the last that is not zero."""
    end = position = start
    while window := read_exactly(fd, _WINDOW, position):
        used = len(window.rstrip(b"\0"))
        if used:
            end = position + used
        position += len(window)
    return end


def find_commit_starts(
    fd: int, start: int, segment: int, after_seq: int
) -> Iterator[tuple[int, int]]:
    """Whole commit starts later than ``after_seq``, anywhere from byte ``start`` on: seq, position.

    Where there is one, all before it had been synced: what is bad before it was damaged later.
    """
    overlap = FRAME_HEAD.size + MAX_BODY
    pattern = _commit_start_pattern(segment)
    position = start
    while window := read_exactly(fd, _WINDOW + overlap, position):
        for match in pattern.finditer(window):
            at = match.start() - FRAME_HEAD.size
            if not 0 <= at < _WINDOW - FRAME_HEAD.size:
                continue
            record = whole_record(window, at)
            if record is not None and record.seq > after_seq:
                yield record.seq, position + at
        if len(window) <= _WINDOW:
            return
        position += _WINDOW - FRAME_HEAD.size


def _commit_start_pattern(segment: int) -> "re.Pattern[bytes]":
    """Version, kind, flags and seq of a commit start; records of a segment share 48 bits of seq."""
    return re.compile(
        re.escape(bytes([RECORD_VERSION]))
        + b"(?=[\x01-"  # a look-ahead, so that a chance match does not hide one it overlaps
        + re.escape(bytes([_MAX_KIND]))
        + b"]"
        + b"["
        + re.escape(bytes([FLAG_COMMIT_START, FLAG_COMMIT_START | FLAG_COMMIT_END]))
        + b"]\0.."
        + re.escape(segment.to_bytes(6, "little"))
        + b")",
        re.DOTALL,
    )


def whole_record(data: bytes, at: int) -> Record | None:
    """The record whose frame begins at byte ``at``; None where there is no good frame."""
    if at + FRAME_HEAD.size > len(data):
        return None
    length = _unpack_count(data, at)[0]
    try:
        for record, _, _ in iter_frames(data[at : at + FRAME_HEAD.size + min(length, MAX_BODY)]):
            return record
    except FormatError:
        pass
    return None
