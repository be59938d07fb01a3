"""Reading every segment for a check: all records that can be read, and a finding for the rest."""

import os
from array import array
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

from swt3_agent.errors import FormatError, JournalError
from swt3_agent.protocol.record import FRAME_HEAD, MAX_BODY, Record, iter_frames
from swt3_agent.store.durable import read_exactly
from swt3_agent.store.frames import (
    FrameScan,
    find_commit_starts,
    last_byte_in_use,
    scan_segment,
    whole_record,
)
from swt3_agent.store.fsck.findings import Report
from swt3_agent.store.sealed import SealedSegment, sealed_path
from swt3_agent.store.segment_file import SEGMENT_RECORDS, SLICE_RECORDS, SegmentFile


def sealed_records(
    directory: Path, number: int, report: Report
) -> Iterator[tuple[list[Record], bytes]]:
    """Records of a sealed segment in slices, each with the root that the footer states."""
    path = sealed_path(directory, number)
    try:
        sealed = SealedSegment.open(path, number)
    except (JournalError, OSError) as error:
        report("SEALED_DAMAGED", str(path), str(error))
        return
    starts = [*sealed.chunk_starts, SEGMENT_RECORDS]
    for start, stop in pairwise(starts):
        try:
            data, count = sealed.frames_from(start, stop)
            records = [record for record, _, _ in islice(iter_frames(data), count)]
        except (JournalError, FormatError, OSError) as error:
            report("SEALED_DAMAGED", str(sealed.path), str(error))
            continue
        if [record.seq for record in records] != _numbers(number, start, stop):
            report("SEQ_GAP", str(sealed.path), f"records {start} to {stop} are not in order")
            continue
        yield records, sealed.root


def raw_records(
    path: Path, number: int, report: Report, *, last: bool, live: bool
) -> Iterator[list[Record]]:
    """Records of a raw segment in slices, past any damage that a later commit start allows.

    ``last`` says that the log ends in this segment, ``live`` that an agent is writing to it: then
    what is not committed yet is no finding. Raises FileNotFoundError.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        report("SEGMENT_UNREADABLE", str(path), str(error))
        return
    segment = SegmentFile(path, number, fd)
    try:
        yield from _readable(segment, report, last=last, live=live)
    except OSError as error:
        report("SEGMENT_UNREADABLE", str(path), str(error))
    finally:
        segment.close()


def _readable(
    segment: SegmentFile, report: Report, *, last: bool, live: bool
) -> Iterator[list[Record]]:
    first_seq = segment.first_seq
    known: FrameScan | None = None
    while True:
        begin = len(known.offsets) if known else 0
        scan = scan_segment(segment.fd, first_seq, SEGMENT_RECORDS, known)
        count = len(scan.offsets)
        resumed = None
        if count < SEGMENT_RECORDS:
            resumed = _resume(segment, scan)
        if resumed is not None and live:  # or was it not damaged, but being written?
            again = scan_segment(segment.fd, first_seq, SEGMENT_RECORDS, scan)
            if again.end > scan.end:
                yield from _decoded(segment, scan, begin, count)
                known = scan
                continue
        tail = resumed is None and last
        yield from _decoded(segment, scan, begin, max(begin, scan.complete) if tail else count)
        if resumed is None:
            _report_end(segment, scan, report, last=last, live=live)
            return
        seq, position = resumed
        code, what = _damage(segment, scan)
        report(
            code,
            f"{segment.path} byte {scan.end}",
            f"records {first_seq + count} to {seq - 1} cannot be read: {what}",
        )
        skipped = array("Q", bytes(8 * (seq - first_seq)))
        known = FrameScan(skipped, position, 0, "")


def _decoded(segment: SegmentFile, scan: FrameScan, begin: int, end: int) -> Iterator[list[Record]]:
    for start in range(begin, end, SLICE_RECORDS):
        stop = min(start + SLICE_RECORDS, end)
        at = scan.offsets[start]
        after = scan.offsets[stop] if stop < len(scan.offsets) else scan.end
        frames = read_exactly(segment.fd, after - at, at)
        yield [record for record, _, _ in iter_frames(frames)]


def _resume(segment: SegmentFile, scan: FrameScan) -> tuple[int, int] | None:
    """Where reading can go on after the scan stopped: at the next commit that was synced."""
    after_seq = segment.first_seq + len(scan.offsets)
    for seq, position in find_commit_starts(segment.fd, scan.end, segment.number, after_seq - 1):
        if position > scan.end or seq > after_seq:
            return seq, position
    return None


def _report_end(
    segment: SegmentFile, scan: FrameScan, report: Report, *, last: bool, live: bool
) -> None:
    count = len(scan.offsets)
    where = f"{segment.path} byte {scan.end}"
    if last:
        cut = scan.offsets[scan.complete] if scan.complete < count else scan.end
        size = last_byte_in_use(segment.fd, cut) - cut
        if size and not live:
            code, what = _damage(segment, scan)
            if code == "FRAME_DAMAGED":
                code = "TORN_TAIL"
            report(code, where, f"{size} bytes are of no whole commit: {what}")
    elif count < SEGMENT_RECORDS:
        code, what = _damage(segment, scan)
        if code == "FRAME_DAMAGED":
            code = "SEGMENT_SHORT"
        missing = segment.first_seq + count
        report(code, where, f"records from {missing} to the segment's end are missing: {what}")


def _damage(segment: SegmentFile, scan: FrameScan) -> tuple[str, str]:
    """What is wrong at the byte where a scan stopped."""
    data = read_exactly(segment.fd, FRAME_HEAD.size + MAX_BODY, scan.end)
    record = whole_record(data, 0)
    if record is None:
        return "FRAME_DAMAGED", scan.fault or "there are zeros"
    if record.seq // SEGMENT_RECORDS != segment.number:
        return "WRONG_SEGMENT", f"record {record.seq} does not belong into this segment"
    expected = segment.first_seq + len(scan.offsets)
    if record.seq != expected:
        return "SEQ_GAP", f"record {record.seq} follows record {expected - 1}"
    return "FRAME_DAMAGED", "the commit does not end"


def _numbers(number: int, start: int, stop: int) -> list[int]:
    first = number * SEGMENT_RECORDS
    return list(range(first + start, first + stop))
