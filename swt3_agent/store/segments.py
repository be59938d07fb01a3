"""The segments of one log together: sealed ones first, then raw ones, the last of them growing.

Full raw segments are sealed in the background, oldest first.
"""

import logging
import re
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from struct import error as StructError  # noqa: N812  # it is an exception, and reads like one

from swt3_agent.errors import FormatError, JournalError
from swt3_agent.protocol.record import Record, iter_frames
from swt3_agent.store.frames import RecordSlice, split_frames
from swt3_agent.store.sealed import (
    SEALED_SUFFIX,
    SealedSegment,
    damaged,
    seal,
    sealed_path,
)
from swt3_agent.store.segment_file import (
    RAW_SUFFIX,
    SEGMENT_RECORDS,
    SLICE_RECORDS,
    SegmentFile,
)
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)

_OPEN_SEALED = 4
_RAW_NAME = re.compile("[0-9]{16}" + re.escape(RAW_SUFFIX))
_SEALED_NAME = re.compile("[0-9]{16}" + re.escape(SEALED_SUFFIX))


class Segments:
    """Reads records wherever they lie; safe to use from any thread."""

    def __init__(self, directory: Path, sealed: int, raw: list[SegmentFile]) -> None:
        self.directory = directory
        self._lock = threading.Lock()
        self._sealed = sealed  # segments [0, sealed) are sealed
        self._raw = {segment.number: segment for segment in raw}
        self._cache: dict[int, SealedSegment] = {}

    @property
    def sealed(self) -> int:
        """How many segments are sealed: always the oldest ones."""
        return self._sealed

    @property
    def raw(self) -> list[SegmentFile]:
        """The segments that are not sealed, in order."""
        with self._lock:
            return [self._raw[number] for number in sorted(self._raw)]

    def add(self, segment: SegmentFile) -> None:
        """A new segment after all others."""
        with self._lock:
            self._raw[segment.number] = segment

    def replace(self, sealed: SealedSegment) -> None:
        """Read a segment from its sealed form from now on, and delete the raw file."""
        with self._lock:
            segment = self._raw.pop(sealed.number)
            self._sealed = sealed.number + 1
        try:
            segment.path.unlink()
        finally:
            segment.close()

    def slices(self, start: int, stop: int) -> Iterator[RecordSlice]:
        """Records ``[start, stop)`` in slices, none across a segment boundary; unchecked."""
        while start < stop:
            frames, count = self._frames_from(start, stop)
            try:
                records = split_frames(frames, start, count)
            except StructError as error:
                raise damaged(self.directory, f"record {start} and after: {error}") from error
            yield records
            start += count

    def records(self, start: int, stop: int) -> Iterator[Record]:
        """Records ``[start, stop)``, each checked.

        Raises JournalError ``SEGMENT_DAMAGED`` at the first that is not as it was written.
        """
        while start < stop:
            frames, count = self._frames_from(start, stop)
            try:
                records = [record for record, _, _ in islice(iter_frames(frames), count)]
            except FormatError as error:
                raise damaged(self.directory, error.message) from error
            if [record.seq for record in records] != list(range(start, start + count)):
                raise damaged(self.directory, f"records {start} to {start + count} are not there")
            yield from records
            start += count

    def close(self) -> None:
        """Close the raw segments; nothing can be read any more."""
        for segment in self.raw:
            segment.close()

    def _frames_from(self, start: int, stop: int) -> tuple[bytes, int]:
        number, within = divmod(start, SEGMENT_RECORDS)
        stop = min(within + min(stop - start, SLICE_RECORDS), SEGMENT_RECORDS)
        for _ in range(2):  # once more where it was sealed just now
            try:
                frames, count = self._get(number).frames_from(within, stop)
            except OSError as error:
                what = f"segment {number} cannot be read: {error.strerror}"
                raise damaged(self.directory, what) from error
            if count:
                return frames, count
        raise JournalError(
            "JOURNAL_CLOSED",
            "the journal is closed",
            remedy="open it again to read from it",
        )

    def _get(self, number: int) -> SegmentFile | SealedSegment:
        with self._lock:
            segment = self._raw.get(number) or self._cache.get(number)
        if segment is not None:
            return segment
        sealed = SealedSegment.open(sealed_path(self.directory, number), number)
        with self._lock:
            while len(self._cache) >= _OPEN_SEALED:
                self._cache.pop(next(iter(self._cache)))
            self._cache[number] = sealed
        return sealed


class Sealer:
    """Compresses each full segment it is told of. One that cannot be sealed is tried again with
    the next, and stays readable as it is."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._roots: dict[int, bytes] = {}
        self._filled: SimpleQueue[tuple[int, bytes] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-sealer", daemon=True)
        self._thread.start()

    def filled(self, number: int, root: bytes) -> None:
        """Segment ``number`` is full, and ``root`` is its subtree root."""
        self._filled.put((number, root))

    def close(self) -> None:
        """Finish the segment in hand and end; the others are sealed after the next start."""
        self._filled.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (filled := self._filled.get()) is not None:
            number, root = filled
            self._roots[number] = root
            try:
                self._seal_waiting()
            except (OSError, JournalError) as error:
                told = fields(Event.STORE_BEHIND, what="segment", why=error)
                logger.warning("segment not sealed %s", told)

    def _seal_waiting(self) -> None:
        for segment in self._segments.raw:
            root = self._roots.get(segment.number)
            if root is None:
                return
            self._segments.replace(seal(segment, root))
            del self._roots[segment.number]


def list_segments(directory: Path) -> tuple[list[int], list[int]]:
    """Numbers of the sealed and of the raw segments in ``directory``, ascending.

    A segment that is there in both forms counts as sealed: its raw file goes last. Raises OSError.
    """
    names = [entry.name for entry in directory.iterdir()]
    sealed = {int(name[:16]) for name in names if _SEALED_NAME.fullmatch(name)}
    raw = {int(name[:16]) for name in names if _RAW_NAME.fullmatch(name)}
    return sorted(sealed), sorted(raw - sealed)
