"""What a start finds in the journal: whole commits, a torn tail to cut, or damage.

A commit is acknowledged only after it was synced, and the next one starts only then. So after a
bad frame a later commit start proves damage of acknowledged records: the start is refused. Without
one, what follows the last end of a commit is what an interrupted commit leaves: it is cut, and that
is said. A journal that ends before what was committed for sure (``high_water``) is refused.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from swt3_agent.errors import JournalError
from swt3_agent.store.durable import TEMPORARY_SUFFIX, sync_directory
from swt3_agent.store.frames import FrameScan, find_commit_starts, last_byte_in_use, scan_segment
from swt3_agent.store.high_water import HighWater, refuse_shorter
from swt3_agent.store.sealed import SealedSegment, sealed_path
from swt3_agent.store.segment_file import (
    RAW_SUFFIX,
    SEGMENT_RECORDS,
    SegmentFile,
    segment_name,
)
from swt3_agent.store.segments import Segments, list_segments
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)

_ATTEMPTS = 3  # for a reader: the daemon may seal a segment between our look and our open


@dataclass(frozen=True, slots=True)
class TailCut:
    """What a start cut off: ``size`` bytes of no whole commit.

    ``seq`` is the number that the next record takes.
    """

    seq: int
    size: int


@dataclass(frozen=True, slots=True)
class _Scanned:
    number: int
    fd: int
    path: Path
    scan: FrameScan

    @property
    def next_seq(self) -> int:
        return self.number * SEGMENT_RECORDS + len(self.scan.offsets)


def open_segments(
    directory: Path, *, repair: bool, known: Mapping[int, FrameScan] = MappingProxyType({})
) -> tuple[Segments, TailCut | None]:
    """The segments in ``directory`` up to the last committed record.

    ``repair`` (the one writer's start) also removes what an interrupted start, commit or sealing
    left behind, unless more had been committed than is there. Raises JournalError
    ``JOURNAL_DAMAGED``, ``JOURNAL_SHORTER``, ``SEGMENT_DAMAGED``, ``JOURNAL_UNREADABLE``.
    """
    committed = _committed(directory) if repair else 0
    try:
        if repair:
            _clean_up(directory)
        for _ in range(1 if repair else _ATTEMPTS):
            sealed, raw = list_segments(directory)
            gap = _gap(sealed + raw)
            if gap is None:
                if not raw:
                    refuse_shorter(
                        HighWater(directory).path, len(sealed) * SEGMENT_RECORDS, committed
                    )
                with suppress(FileNotFoundError):
                    segments, cut = _open_raw(directory, raw, committed, repair=repair, known=known)
                    return Segments(directory, len(sealed), segments), cut
    except OSError as error:
        raise _unreadable(directory, str(error)) from error
    if gap is None:
        raise _unreadable(directory, "segments disappear while they are opened")
    raise JournalError(
        "JOURNAL_DAMAGED",
        f"segment {gap} is missing in {directory}, and later ones are there",
        remedy="restore the missing segment from a backup; nothing was changed",
    )


def segment_roots(segments: Segments) -> list[bytes]:
    """Subtree roots of the sealed segments, as their footers say. Raises JournalError."""
    try:
        return [
            SealedSegment.open(sealed_path(segments.directory, number), number).root
            for number in range(segments.sealed)
        ]
    except OSError as error:
        raise _unreadable(segments.directory, str(error)) from error


def _committed(directory: Path) -> int:
    try:
        return HighWater(directory).read()
    except JournalError as error:  # then a lost end goes unnoticed, and the rest is good
        told = fields(Event.JOURNAL_DAMAGED, code=error.code, why=error, remedy=error.remedy)
        logger.warning("the journal is not as it should be %s", told)
        return 0


def _open_raw(
    directory: Path,
    numbers: Sequence[int],
    committed: int,
    *,
    repair: bool,
    known: Mapping[int, FrameScan],
) -> tuple[list[SegmentFile], TailCut | None]:
    """Open the raw segments ``numbers`` (in order, without a gap) as far as they were committed.

    ``repair`` cuts a torn tail on disk; without it nothing is changed and the tail is only left
    out. ``known`` is what earlier scans of some segments found. Raises OSError, JournalError
    ``JOURNAL_DAMAGED``, or ``JOURNAL_SHORTER`` where they end before record ``committed``.
    """
    with ExitStack() as opened:
        scanned = [
            _scan(directory, number, repair, known.get(number), opened) for number in numbers
        ]
        if not scanned:
            return [], None
        unfilled = (i for i, item in enumerate(scanned) if len(item.scan.offsets) < SEGMENT_RECORDS)
        stop = next(unfilled, len(scanned) - 1)
        _refuse_damage(scanned[stop:])
        kept = _whole_commits(scanned[: stop + 1])
        size = kept[-1].next_seq if kept else numbers[0] * SEGMENT_RECORDS
        refuse_shorter(HighWater(directory).path, size, committed)
        uncommitted = scanned[len(kept) :]
        cut = _measure_tail(kept, uncommitted, numbers[0])
        if repair:
            _remove(directory, kept, uncommitted, cut)
        elif kept:
            _sync_quietly(kept)
        for item in uncommitted:
            os.close(item.fd)
        opened.pop_all()
        return [SegmentFile(item.path, item.number, item.fd, item.scan) for item in kept], cut


def _scan(
    directory: Path, number: int, repair: bool, known: FrameScan | None, opened: ExitStack
) -> _Scanned:
    path = directory / f"{segment_name(number)}{RAW_SUFFIX}"
    fd = os.open(path, (os.O_RDWR if repair else os.O_RDONLY) | os.O_CLOEXEC)
    opened.callback(os.close, fd)
    if repair:
        _forget_unsynced(fd)
    scan = scan_segment(fd, number * SEGMENT_RECORDS, SEGMENT_RECORDS, known)
    return _Scanned(number, fd, path, scan)


def _forget_unsynced(fd: int) -> None:
    """Have the file read as the disk holds it: what counts from now on must be there.

    A killed writer may not have synced its last commit; after a failed sync the page cache shows
    bytes that never reached the disk.
    """
    os.fdatasync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def _refuse_damage(scanned: Sequence[_Scanned]) -> None:
    """Raise where a commit start follows the place at which the first of ``scanned`` stops."""
    stopped = scanned[0]
    for item in scanned:
        start = stopped.scan.end if item is stopped else 0
        later = next(find_commit_starts(item.fd, start, item.number, stopped.next_seq), None)
        if later is not None and not _has_grown(stopped):
            raise JournalError(
                "JOURNAL_DAMAGED",
                f"{stopped.path} is damaged at byte {stopped.scan.end}, where record"
                f" {stopped.next_seq} belongs: {stopped.scan.fault or 'there are zeros'};"
                f" record {later[0]} after it had been acknowledged",
                remedy="run `swt3-agent fsck`, and restore the file from a backup;"
                " nothing was changed",
            )


def _has_grown(stopped: _Scanned) -> bool:
    """Whether what stopped the scan is whole by now: a writer was at it, and it is no damage."""
    first_seq = stopped.number * SEGMENT_RECORDS
    again = scan_segment(stopped.fd, first_seq, SEGMENT_RECORDS, stopped.scan)
    return again.end > stopped.scan.end


def _whole_commits(scanned: Sequence[_Scanned]) -> list[_Scanned]:
    """``scanned`` up to the last end of a commit, which may lie in an earlier segment."""
    kept = list(scanned)
    while kept and not kept[-1].scan.complete:
        kept.pop()
    if kept:
        last = kept[-1]
        scan, complete = last.scan, last.scan.complete
        if complete < len(scan.offsets):
            trimmed = FrameScan(scan.offsets[:complete], scan.offsets[complete], complete, "")
            kept[-1] = replace(last, scan=trimmed)
    return kept


def _measure_tail(
    kept: Sequence[_Scanned], uncommitted: Sequence[_Scanned], first_segment: int
) -> TailCut | None:
    size = sum(last_byte_in_use(item.fd, 0) for item in uncommitted)
    seq = first_segment * SEGMENT_RECORDS
    if kept:
        end = kept[-1].scan.end
        size += last_byte_in_use(kept[-1].fd, end) - end
        seq = kept[-1].next_seq
    return TailCut(seq, size) if size else None


def _remove(
    directory: Path,
    kept: Sequence[_Scanned],
    uncommitted: Sequence[_Scanned],
    cut: TailCut | None,
) -> None:
    """Cut from the end, so that a crash on the way leaves a shorter tail and never a hole."""
    for item in reversed(uncommitted):
        item.path.unlink()
    if uncommitted:
        sync_directory(directory)
    if kept and cut is not None:
        os.ftruncate(kept[-1].fd, kept[-1].scan.end)
        os.fsync(kept[-1].fd)


def _sync_quietly(kept: Sequence[_Scanned]) -> None:
    """A reader beside a running writer may see a commit before its sync: make it durable first."""
    with suppress(OSError):  # a read-only file system holds nothing that is not durable
        for item in kept[-2:]:
            os.fdatasync(item.fd)


def _clean_up(directory: Path) -> None:
    """Finish a sealing that was interrupted: half a sealed file goes, else the raw file goes."""
    for leftover in directory.glob(f".*{TEMPORARY_SUFFIX}"):
        leftover.unlink()
    for number in list_segments(directory)[0]:
        raw = directory / f"{segment_name(number)}{RAW_SUFFIX}"
        if raw.exists():
            SealedSegment.open(
                sealed_path(directory, number), number
            )  # raises where it is not whole: then keep both
            raw.unlink()


def _gap(numbers: Sequence[int]) -> int | None:
    """The first segment that is missing before the last; None where none is."""
    gaps = (expected for expected, number in enumerate(sorted(numbers)) if number != expected)
    return next(gaps, None)


def _unreadable(directory: Path, what: str) -> JournalError:
    return JournalError(
        "JOURNAL_UNREADABLE",
        f"the journal in {directory} cannot be opened: {what}",
        remedy="make the directory readable and writable for the agent",
    )
