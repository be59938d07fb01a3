"""Finding the segments of a log on disk and opening them."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from swt3_agent.errors import JournalError
from swt3_agent.store.durable import TEMPORARY_SUFFIX
from swt3_agent.store.frames import FrameScan
from swt3_agent.store.recovery import TailCut, open_raw_segments
from swt3_agent.store.sealed import SealedSegment
from swt3_agent.store.segment_file import RAW_SUFFIX, segment_name
from swt3_agent.store.segments import Segments, list_segments

_ATTEMPTS = 3  # for a reader: the daemon may seal a segment between our look and our open


def open_segments(
    directory: Path, *, repair: bool, known: Mapping[int, FrameScan] = MappingProxyType({})
) -> tuple[Segments, TailCut | None]:
    """The segments in ``directory`` up to the last committed record.

    ``repair`` (the one writer's start) also removes what an interrupted start, commit or sealing
    left behind. Raises JournalError ``JOURNAL_DAMAGED``, ``SEGMENT_DAMAGED``,
    ``JOURNAL_UNREADABLE``.
    """
    try:
        if repair:
            _clean_up(directory)
        for attempt in range(_ATTEMPTS):
            sealed, raw = list_segments(directory)
            _refuse_gaps(directory, sealed, raw)
            with suppress(FileNotFoundError):
                segments, cut = open_raw_segments(directory, raw, repair=repair, known=known)
                return Segments(directory, len(sealed), segments), cut
            if repair or attempt == _ATTEMPTS - 1:
                break
    except OSError as error:
        raise _unreadable(directory, str(error)) from error
    raise _unreadable(directory, "segments disappear while they are opened")


def segment_roots(segments: Segments) -> list[bytes]:
    """Subtree roots of the sealed segments, as their footers say. Raises JournalError."""
    try:
        return [
            SealedSegment.open(segments.directory, number).root for number in range(segments.sealed)
        ]
    except OSError as error:
        raise _unreadable(segments.directory, str(error)) from error


def _clean_up(directory: Path) -> None:
    """Finish a sealing that was interrupted: half a sealed file goes, else the raw file goes."""
    for leftover in directory.glob(f".*{TEMPORARY_SUFFIX}"):
        leftover.unlink()
    for number in list_segments(directory)[0]:
        raw = directory / f"{segment_name(number)}{RAW_SUFFIX}"
        if raw.exists():
            SealedSegment.open(directory, number)  # raises where it is not whole: then keep both
            raw.unlink()


def _refuse_gaps(directory: Path, sealed: list[int], raw: list[int]) -> None:
    numbers = sealed + raw
    for expected, number in enumerate(numbers):
        if number != expected:
            raise JournalError(
                "JOURNAL_DAMAGED",
                f"segment {expected} is missing in {directory}, and segment {number} is there",
                remedy="restore the missing segment from a backup; nothing was changed",
            )


def _unreadable(directory: Path, what: str) -> JournalError:
    return JournalError(
        "JOURNAL_UNREADABLE",
        f"the journal in {directory} cannot be opened: {what}",
        remedy="make the directory readable and writable for the agent",
    )
