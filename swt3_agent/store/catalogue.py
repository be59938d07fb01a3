"""The catalogue: what the journal holds, by fingerprint, batch, kind and verdict.

Derived from the records and from nothing else: it can be deleted at any time while no agent runs.
Full segments are in a SQLite file, the one that grows is indexed in memory, and batches that were
committed a moment ago are known before they are indexed, because the answer to a repeated batch
depends on it.
"""

import logging
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from swt3_agent.errors import AgentError
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.catalogue_file import CatalogueFile, failed
from swt3_agent.store.catalogue_rows import BatchRow, HeadEntry, KindCount, Rejection
from swt3_agent.store.frames import RecordSlice
from swt3_agent.store.fresh_batches import FreshBatches
from swt3_agent.store.high_water import refuse_shorter
from swt3_agent.store.journal import Journal
from swt3_agent.store.segment_file import SEGMENT_RECORDS
from swt3_agent.store.segment_index import (
    FREQUENT,
    MAX_INTEGER,
    SegmentIndex,
    merge_run,
    producer,
)
from swt3_agent.telemetry import Event, fields

__all__ = ["BatchRow", "Catalogue", "HeadEntry", "KindCount", "Rejection"]

_FINGERPRINT = re.compile("[0-9a-f]{12}")

logger = logging.getLogger(__name__)


class _QuarantineProvenance(msgspec.Struct):
    index: int = -1
    code: str = ""
    error: str = ""


class Catalogue:
    """Look-ups over a journal; any thread may ask. Close it before the journal."""

    def __init__(self, journal: Journal, file: CatalogueFile, segments: int) -> None:
        self._journal = journal
        self._file = file
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._growing = SegmentIndex(segments, segments * SEGMENT_RECORDS)
        self._full: list[SegmentIndex] = []  # indexed, and not in the file yet
        self._fresh = FreshBatches()
        self._closed = False

    @classmethod
    def open(cls, path: Path | None, journal: Journal) -> "Catalogue":
        """Open or rebuild the catalogue in ``path`` (None: in memory); catch up with ``journal``.

        Raises JournalError: ``CATALOGUE_FAILED``, ``JOURNAL_SHORTER`` (it holds records that the
        journal has no more), and whatever reading the journal raises.
        """
        file = CatalogueFile.open(path)
        catalogue = None
        try:
            segments, root = file.position()
            if path is not None:
                refuse_shorter(path, journal.size, segments * SEGMENT_RECORDS)
            if not _is_of(journal, segments, root):
                told = fields(Event.CATALOGUE_REBUILT)
                logger.warning("catalogue is not of this journal and is rebuilt %s", told)
                segments = 0
                file.clear()
            catalogue = cls(journal, file, segments)
            journal.observe_commits(catalogue._fresh.note)
            journal.subscribe(catalogue._on_records)
            catalogue.catch_up()
        except sqlite3.Error as error:
            file.close()
            raise failed(error) from error
        except BaseException:
            file.close()
            raise
        return catalogue

    def catch_up(self) -> None:
        """Index everything that is committed. Raises JournalError."""
        size = self._journal.size
        self._journal.follow(size)
        while True:
            with self._lock:
                position = self._growing.next_seq
                if position >= size:
                    break
                self._add(next(self._journal.slices(position, size)))
            self._flush()

    def find_fingerprint(self, fingerprint: str) -> list[int]:
        """Sequence numbers of all anchors that bear ``fingerprint`` (12 hex digits), in order."""
        if not _FINGERPRINT.fullmatch(fingerprint):
            return []
        self.catch_up()
        number = int(fingerprint, 16)
        with self._lock, _failing():
            found = self._file.find_fingerprint(number)
            for index in self._in_memory():
                found += index.find_fingerprint(number)
        return found

    def find_batch(self, tenant: str, client: str, batch: int) -> BatchRow | None:
        """The stored batch, also when it was committed a moment ago; None where there is none."""
        key = producer(tenant, client), batch
        if abs(batch) > MAX_INTEGER:
            return None
        with self._lock, _failing():
            run = self._file.find_batch(*key)
            for index in self._in_memory():
                run = _merge(run, index.batches.get(key))
            run = _merge(run, self._fresh.find(key, self._growing.next_seq))
        return None if run is None else self._batch_row(client, batch, run)

    def last_batch(self, tenant: str, client: str) -> int | None:
        """The highest batch number stored for ``client``; None where there is none."""
        whose = producer(tenant, client)
        with self._lock, _failing():
            numbers = [self._file.last_batch(whose)]
            numbers += [index.last_batches.get(whose) for index in self._in_memory()]
            numbers.append(self._fresh.last(whose, self._growing.next_seq))
        return max((number for number in numbers if number is not None), default=None)

    def heads(self, newest: int | None = None) -> list[HeadEntry]:
        """The ``newest`` checkpoints, or all, oldest first."""
        self.catch_up()
        with self._lock, _failing():
            rows = self._file.heads(-1 if newest is None else newest)
            entries = {note: (size, quote) for note, size, quote in rows}
            for index in self._in_memory():
                entries.update((note, (size, None)) for note, size in index.notes.items())
                for note, quote in index.quotes:
                    if note in entries:
                        entries[note] = entries[note][0], quote
        heads = [HeadEntry(note, size, quote) for note, (size, quote) in entries.items()]
        return heads if newest is None else heads[-newest:]

    def last_signed_head(self, of_at_most: int | None = None) -> HeadEntry | None:
        """The newest checkpoint that has a quote, and covers no more than so many records; None
        where there is none."""
        self.catch_up()
        most = MAX_INTEGER if of_at_most is None else of_at_most
        with self._lock, _failing():
            for index in reversed(self._in_memory()):
                for note, quote in reversed(index.quotes):
                    if (size := self._size_of(note)) <= most:
                        return HeadEntry(note, size, quote)
            row = self._file.last_signed_head(most)
        return None if row is None else HeadEntry(*row)

    def last_of_kind(self, kind: Kind) -> int | None:
        """Sequence number of the newest record of ``kind``; None where there is none."""
        found = self.kinds().get(kind)
        return None if found is None else found.last_seq

    def kinds(self) -> dict[Kind, KindCount]:
        """Counts by kind."""
        self.catch_up()
        with self._lock, _failing():
            counts = {Kind(kind): KindCount(n, last) for kind, n, last in self._file.kinds()}
            for index in self._in_memory():
                for number, last in index.last_of_kind.items():
                    kind = Kind(number)
                    before = counts[kind].count if kind in counts else 0
                    counts[kind] = KindCount(before + index.kinds[number], last)
        return counts

    def verdicts(self) -> dict[tuple[str, str], int]:
        """Counts of anchors by (procedure, verdict); the verdict of a relayed one is empty."""
        counts: Counter[tuple[str, str]] = Counter()
        for _, procedure, verdict, count, _ in self._verdict_rows():
            counts[procedure, verdict] += count
        return dict(counts)

    def procedures(
        self, *, tenant: str | None = None, minted_only: bool = False
    ) -> dict[str, tuple[int, int]]:
        """Anchors of each procedure, minted and relayed: how many, and the last of them.

        ``tenant`` None: those of every tenant.
        """
        found: dict[str, tuple[int, int]] = {}
        for whose, procedure, verdict, count, last in self._verdict_rows():
            if (minted_only and not verdict) or (tenant is not None and whose != tenant):
                continue
            before, latest = found.get(procedure, (0, 0))
            found[procedure] = before + count, max(latest, last)
        return found

    def _verdict_rows(self) -> list[tuple[str, str, str, int, int]]:
        """Tenant, procedure, verdict, count and last sequence number; a key may come twice."""
        self.catch_up()
        with self._lock, _failing():
            rows = self._file.verdicts()
            for index in self._in_memory():
                lasts = index.last_of_verdict
                rows += [(*key, count, lasts[key]) for key, count in index.verdicts.items()]
        return rows

    def records_of(
        self, kind: Kind, start: int = 0, stop: int | None = None, *, collector: str = ""
    ) -> list[int]:
        """Sequence numbers of the records of ``kind`` in ``[start, stop)``, in order.

        ``collector``: only the evidence that this one brought.
        Raises ValueError for the kinds that inference processes send: millions are no list.
        """
        if kind in FREQUENT:
            raise ValueError(f"records of kind {kind.label} are not listed")
        self.catch_up()
        end = self._journal.size if stop is None else stop
        with self._lock, _failing():
            found = self._file.records_of(kind, collector, start, end)
            for index in self._in_memory():
                found += index.records_of(kind, collector)
        return [seq for seq in found if start <= seq < end]

    def close(self) -> None:
        """Close the file; the segment that grows is indexed again at the next start."""
        with self._flushing, self._lock:
            self._closed = True
            self._file.close()

    def __enter__(self) -> "Catalogue":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _size_of(self, note: int) -> int:
        """The size that the note at ``note`` states; -1 where there is no such note."""
        for index in self._in_memory():
            if note in index.notes:
                return index.notes[note]
        return self._file.size_of_head(note)

    def _in_memory(self) -> list[SegmentIndex]:
        return [*self._full, self._growing]

    def _on_records(self, records: RecordSlice) -> None:
        """From the follower. Where a gap is left, ``catch_up`` closes it."""
        with self._lock:
            if self._closed or not records.first_seq <= self._growing.next_seq < records.end_seq:
                return
            self._add(records)
        self._flush()

    def _add(self, records: RecordSlice) -> None:
        self._growing.add(records.since(self._growing.next_seq))
        self._fresh.forget(self._growing.next_seq)
        if self._growing.is_full:
            self._full.append(self._growing)
            self._growing = SegmentIndex(self._growing.number + 1, self._growing.next_seq)

    def _flush(self) -> None:
        """Move full segments from memory to the file; what does not go stays and goes later."""
        if not self._full:
            return
        with self._flushing:
            if self._closed:
                return
            for index in list(self._full):
                try:
                    self._file.write(index, _root_of(self._journal, index.number))
                    with self._lock:
                        self._file.commit()
                        self._full.remove(index)
                except (sqlite3.Error, AgentError) as error:
                    told = fields(Event.STORE_BEHIND, what="catalogue", why=error)
                    logger.warning("catalogue not written, kept in memory %s", told)
                    self._file.roll_back()
                    return

    def _batch_row(self, client: str, batch: int, run: tuple[int, int]) -> BatchRow:
        first, end = run
        rejected = [
            _rejection(record)
            for record in self._journal.scan(first, end)
            if record.kind is Kind.QUARANTINE
        ]
        total = end - first
        return BatchRow(client, batch, first, total, total - len(rejected), tuple(rejected))


def _rejection(record: Record) -> Rejection:
    try:
        why = msgspec.json.decode(record.provenance, type=_QuarantineProvenance)
    except MALFORMED:
        why = _QuarantineProvenance()
    return Rejection(why.index, why.code, why.error, record.seq)


def _merge(run: tuple[int, int] | None, later: tuple[int, int] | None) -> tuple[int, int] | None:
    return run if later is None else merge_run(run, *later)


def _is_of(journal: Journal, segments: int, root: bytes) -> bool:
    """Whether a catalogue of ``segments`` ending in ``root`` belongs to ``journal``."""
    return segments == 0 or _root_of(journal, segments - 1) == root


def _root_of(journal: Journal, segment: int) -> bytes:
    first = segment * SEGMENT_RECORDS
    return journal.range_hash(first, first + SEGMENT_RECORDS)


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise failed(error) from error
