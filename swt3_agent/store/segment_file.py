"""One segment of the journal as it is written: frames from byte 0, then zeros.

A segment holds SEGMENT_RECORDS leaves, aligned: segment n holds records n * 65,536 onwards
(docs/formats.md, "Record and segment").
"""

import os
import threading
from array import array
from bisect import bisect_right
from pathlib import Path

from swt3_agent.store.durable import (
    PRIVATE_FILE,
    is_out_of_space,
    read_exactly,
    sync_directory,
    write_all,
)
from swt3_agent.store.frames import FrameScan

SEGMENT_RECORDS = 1 << 16
RAW_SUFFIX = ".seg"

SLICE_RECORDS = 512
"""Records read at once: enough to be quick, few enough to leave other threads their turn."""
_SLICE_BYTES = 1024 * 1024

# Overwriting zeros and syncing takes 0.6 of the time that growing the file takes (no size to write
# down). Small commits therefore find zeros written ahead; for large ones writing everything twice
# would cost more than it saves.
_ZEROS = bytes(1024 * 1024)
_SMALL_WRITE = 64 * 1024


def segment_name(number: int) -> str:
    """File name of a segment, without suffix: sorts like its number."""
    return f"{number:016d}"


class SegmentFile:
    """A raw segment: one thread appends, any thread reads what was accepted."""

    def __init__(self, path: Path, number: int, fd: int, scan: FrameScan | None = None) -> None:
        self.path = path
        self.number = number
        self.fd = fd
        self._reading = threading.Lock()
        self._offsets: array[int] = scan.offsets if scan else array("Q")
        self._end = scan.end if scan else 0
        self._allocated = os.fstat(fd).st_size

    @classmethod
    def create(cls, directory: Path, number: int) -> "SegmentFile":
        """A new, empty, durable segment file. Raises OSError."""
        path = directory / f"{segment_name(number)}{RAW_SUFFIX}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        segment = cls(path, number, fd)
        try:
            segment.reserve(1)
            sync_directory(directory)
        except OSError:
            segment.close()
            raise
        return segment

    @property
    def first_seq(self) -> int:
        return self.number * SEGMENT_RECORDS

    @property
    def count(self) -> int:
        """Accepted records."""
        return len(self._offsets)

    @property
    def end(self) -> int:
        """The byte after the last accepted record."""
        return self._end

    def scan(self) -> FrameScan:
        """What is accepted so far, for a scan that goes on from here."""
        offsets, end = self._offsets[:], self._end
        return FrameScan(offsets, end, len(offsets), "")

    def reserve(self, size: int) -> None:
        """Have zeros on disk for ``size`` more bytes, so that running out of room shows here.

        Raises OSError; the segment is then as it was.
        """
        if self._end + size <= self._allocated or size > _SMALL_WRITE:
            return
        before = self._allocated
        try:
            self._extend_to(before + len(_ZEROS))
        except OSError as error:
            os.ftruncate(self.fd, before)
            if not is_out_of_space(error):
                raise
            self._extend_exactly(before, size)

    def write(self, frames: bytes) -> None:
        """Write after the last accepted record. Raises OSError; see ``withdraw``."""
        write_all(self.fd, frames, self._end)

    def sync(self) -> None:
        """Make what was written durable. Raises OSError: what is on disk is then unknown."""
        os.fdatasync(self.fd)

    def withdraw(self, size: int) -> None:
        """Undo a ``write`` of ``size`` bytes that was not accepted. Raises OSError."""
        overwritten = min(self._end + size, self._allocated) - self._end
        if overwritten > 0:
            write_all(self.fd, bytes(overwritten), self._end)
        os.ftruncate(self.fd, self._allocated)

    def accept(self, starts: "array[int]", size: int) -> None:
        """Let readers see ``size`` written and synced bytes: frames at ``starts``."""
        self._offsets.extend(starts)
        self._end += size
        self._allocated = max(self._allocated, self._end)

    def frames_from(self, start: int, stop: int) -> tuple[bytes, int]:
        """Frames of accepted records from ``start``, and how many: at least one, ``stop`` at most.

        Records are counted within the segment. None at all after ``close``: the reader came too
        late, and finds the segment sealed.
        """
        offsets, end = self._offsets, self._end  # in this order: the end may only lag behind
        stop = min(stop, start + SLICE_RECORDS)
        begin = offsets[start]
        stop = bisect_right(offsets, begin + _SLICE_BYTES, start, stop)
        if stop < len(offsets):
            end = offsets[stop]
        with self._reading:
            if self.fd < 0:
                return b"", 0
            return read_exactly(self.fd, end - begin, begin), stop - start

    def close(self) -> None:
        """Close the file once nobody reads it."""
        with self._reading:
            if self.fd >= 0:
                os.close(self.fd)
                self.fd = -1

    def _extend_exactly(self, before: int, size: int) -> None:
        try:
            self._extend_to(self._end + size)
        except OSError:
            os.ftruncate(self.fd, before)
            raise

    def _extend_to(self, allocated: int) -> None:
        write_all(self.fd, memoryview(_ZEROS)[: allocated - self._allocated], self._allocated)
        os.fdatasync(self.fd)
        self._allocated = allocated
