"""One writer thread, one write and one sync for all that waited.

A record is acknowledged only after the sync that made it durable. A commit is all or nothing: when
it cannot be written it is withdrawn and its producers are told; when it is not known what reached
the disk, the journal stops for good and the next start finds out (``recovery``).
"""

import logging
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import accumulate, islice
from typing import NamedTuple

from swt3_agent.errors import JournalError
from swt3_agent.protocol.record import (
    FLAG_COMMIT_END,
    FLAG_COMMIT_START,
    Kind,
    encode_frame,
)
from swt3_agent.store.drafts import Commit, size_of
from swt3_agent.store.durable import is_out_of_space
from swt3_agent.store.segment_file import SEGMENT_RECORDS, SegmentFile
from swt3_agent.store.segment_keys import SegmentKeys
from swt3_agent.store.segments import Segments
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)

MAX_WAITING = 64 * 1024 * 1024
"""Bytes that may wait for the disk before producers are told to come back."""
_MAX_COMMIT = 8 * 1024 * 1024
"""Bytes after which a commit takes no further producer: bounds memory and everyone's wait."""


class _Waiting(NamedTuple):
    drafts: Sequence[tuple[Kind, bytes, bytes]]
    size: int
    received_ns: int
    future: "Future[Commit]"


class _Part(NamedTuple):
    """What one commit writes to one segment."""

    segment: SegmentFile
    frames: bytes
    starts: "array[int]"


Committed = Callable[[int, Sequence[Sequence[tuple[Kind, bytes, bytes]]]], None]
"""Told of each commit before its producers: first seq, and the drafts of each of them."""


class GroupCommit:
    """Accepts drafts from any thread and commits them in order of arrival."""

    def __init__(
        self, segments: Segments, keys: SegmentKeys, size: int, committed: Committed
    ) -> None:
        self._segments = segments
        self._keys = keys
        self._size = size
        self._committed = committed
        self._active = segments.raw[-1] if segments.raw else None
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._failure: JournalError | None = None
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    @property
    def size(self) -> int:
        """Records that are durable."""
        return self._size

    @property
    def failure(self) -> JournalError | None:
        """Why the journal stopped, if it did."""
        return self._failure

    def append(self, drafts: Sequence[tuple[Kind, bytes, bytes]]) -> "Future[Commit]":
        """Queue ``drafts``; see ``Journal.append``."""
        size = size_of(drafts)
        future: Future[Commit] = Future()
        future.set_running_or_notify_cancel()  # what is queued is written, whoever lost interest
        with self._changed:
            self._refuse(size)
            self._queue.append(_Waiting(drafts, size, time.time_ns(), future))
            self._queued_bytes += size
            self._changed.notify()
        return future

    def close(self) -> None:
        """Finish what waits and end the writer."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _refuse(self, size: int) -> None:
        if self._failure is not None:  # a new error each time: one object would keep every trace
            raise JournalError(
                self._failure.code, self._failure.message, remedy=self._failure.remedy
            )
        if self._closing:
            raise JournalError(
                "JOURNAL_CLOSED", "the journal is closing", remedy="send again after the restart"
            )
        if self._queued_bytes and self._queued_bytes + size > MAX_WAITING:
            raise JournalError(
                "BUSY",
                f"{self._queued_bytes} bytes wait for the disk already",
                remedy="send again a little later",
                retryable=True,
            )

    def _run(self) -> None:
        while batch := self._take():
            try:
                self._commit(batch)
            except OSError as error:
                self._fail(batch, _disk_error(error))
            except JournalError as error:
                self._stop(batch, error)
            except Exception as error:  # noqa: BLE001  # a bug must not leave producers waiting
                self._stop(batch, _failed(f"the writer broke down: {error!r}"))
            del batch  # else its records stay in memory until the next ones come

    def _take(self) -> list[_Waiting]:
        """What waits, up to the size of one commit; empty when the journal closes."""
        batch: list[_Waiting] = []
        size = 0
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            while self._queue and size < _MAX_COMMIT:
                waiting = self._queue.popleft()
                batch.append(waiting)
                size += waiting.size
        return batch

    def _commit(self, batch: list[_Waiting]) -> None:
        """Write, sync, acknowledge. Raises OSError (nothing changed) or JournalError (stop)."""
        parts = self._encode(batch)
        self._write(parts)
        first_seq = self._size
        for part in parts:
            part.segment.accept(part.starts, len(part.frames))
        self._active = parts[-1].segment
        self._committed(first_seq, [waiting.drafts for waiting in batch])
        self._size = first_seq + sum(len(part.starts) for part in parts)
        self._settle(batch)
        for waiting in batch:
            count = len(waiting.drafts)
            waiting.future.set_result(Commit(first_seq, count, waiting.received_ns))
            first_seq += count

    def _encode(self, batch: list[_Waiting]) -> list[_Part]:
        """Frames for each segment that the commit touches. Raises OSError for a new segment."""
        parts: list[_Part] = []
        frames: list[bytes] = []
        add = frames.append
        seq = first_seq = self._size
        last = seq + sum(len(waiting.drafts) for waiting in batch) - 1
        flags = FLAG_COMMIT_START
        for drafts, _, received_ns, _ in batch:
            for kind, provenance, payload in drafts:
                if seq % SEGMENT_RECORDS == 0 and seq > first_seq:
                    parts.append(self._part(first_seq, frames))
                    frames.clear()
                    first_seq = seq
                if seq == last:
                    flags |= FLAG_COMMIT_END
                add(encode_frame(seq, kind, flags, received_ns, provenance, payload))
                flags = 0
                seq += 1
        parts.append(self._part(first_seq, frames))
        return parts

    def _part(self, first_seq: int, frames: list[bytes]) -> _Part:
        segment = self._segment(first_seq // SEGMENT_RECORDS)
        ends = accumulate(map(len, frames), initial=segment.end)
        return _Part(segment, b"".join(frames), array("Q", islice(ends, len(frames))))

    def _segment(self, number: int) -> SegmentFile:
        """The segment ``number``, created with its key where it is new. Raises OSError."""
        if self._active is not None and self._active.number == number:
            return self._active
        for segment in self._segments.raw:
            if segment.number == number:  # created for a commit that then failed
                return segment
        self._keys.ensure(number)
        segment = SegmentFile.create(self._segments.directory, number)
        self._segments.add(segment)
        return segment

    def _write(self, parts: list[_Part]) -> None:
        for part in parts:
            part.segment.reserve(len(part.frames))
        try:
            for part in parts:
                part.segment.write(part.frames)
        except OSError as error:
            try:
                for part in parts:
                    part.segment.withdraw(len(part.frames))
            except OSError as second:
                raise _failed(
                    f"a write failed ({error}) and so did undoing it ({second})"
                ) from error
            if not is_out_of_space(error):
                raise _failed(f"a write failed: {error}") from error
            raise
        try:
            for part in parts:
                part.segment.sync()
        except OSError as error:
            raise _failed(f"a sync failed: {error}") from error

    def _settle(self, batch: list[_Waiting]) -> None:
        with self._changed:
            self._queued_bytes -= sum(waiting.size for waiting in batch)

    def _fail(self, batch: list[_Waiting], error: JournalError) -> None:
        self._settle(batch)
        for waiting in batch:
            waiting.future.set_exception(error)

    def _stop(self, batch: list[_Waiting], error: JournalError) -> None:
        """Fail this commit and everything after it."""
        with self._changed:
            self._failure = error
            batch = batch + list(self._queue)
            self._queue.clear()
        told = fields(Event.JOURNAL_STOPPED, code=error.code, why=error, remedy=error.remedy)
        logger.critical("journal stopped %s", told)
        self._fail(batch, error)


def _disk_error(error: OSError) -> JournalError:
    if is_out_of_space(error):
        return JournalError(
            "DISK_FULL",
            f"there is no room for the journal: {error.strerror}",
            remedy="make room on the file system of the state directory; nothing was stored",
            retryable=True,
        )
    return JournalError(
        "JOURNAL_UNWRITABLE",
        f"the journal cannot be written: {error}",
        remedy="make the state directory writable for the agent; nothing was stored",
        retryable=True,
    )


def _failed(what: str) -> JournalError:
    return JournalError(
        "JOURNAL_FAILED",
        f"the journal has stopped: {what}",
        remedy="check the disk, then restart the agent: it keeps all that was acknowledged",
    )
