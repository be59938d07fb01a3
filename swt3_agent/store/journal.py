"""The journal: append-only, group-committed, an RFC 9162 log over everything in it.

docs/formats.md, "Log leaf" and "Record and segment". Appending touches the growing segment only.
Everything else follows behind: leaf hashes, whoever subscribed (the catalogue), and the sealing of
full segments.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from swt3_agent.errors import JournalError
from swt3_agent.protocol.log_tree import EMPTY_ROOT, leaf_hashes, salts
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.store.drafts import Commit, Draft
from swt3_agent.store.follower import Follower, FollowerThread
from swt3_agent.store.frames import RecordSlice
from swt3_agent.store.group_commit import GroupCommit
from swt3_agent.store.high_water import HighWater
from swt3_agent.store.recovery import TailCut, open_segments, segment_roots
from swt3_agent.store.segment_file import SEGMENT_RECORDS
from swt3_agent.store.segment_keys import SegmentKeys
from swt3_agent.store.segments import Sealer, Segments
from swt3_agent.store.tree import LogTree

__all__ = ["Commit", "Draft", "Journal", "TailCut"]

CommitObserver = Callable[[int, Sequence[Sequence[tuple[Kind, bytes, bytes]]]], None]
"""Called by the writer thread after each sync, before producers are told and before ``size``
grows: first seq of the commit, and the drafts of each append in it. Must be quick."""


class Journal:
    """The log of a node. ``Journal.open`` it; close it, or use it as a context manager.

    Any thread may call anything. Sizes count records; sequence numbers start at 0.
    """

    def __init__(
        self, segments: Segments, keys: SegmentKeys, cut: TailCut | None, *, readonly: bool
    ) -> None:
        self.recovered = cut
        """What the start cut off, if anything: the remains of a torn commit."""
        self._segments = segments
        self._keys = keys
        self._size = _count(segments)
        self._tree = LogTree(segment_roots(segments), self._leaves_of)
        self._observers: list[CommitObserver] = []
        self._writer: GroupCommit | None = None
        self._thread: FollowerThread | None = None
        self._sealer: Sealer | None = None
        self._high_water = HighWater(segments.directory)
        if readonly:
            self._follower = Follower(segments, keys, self._tree, lambda _number, _root: None)
            return
        self._sealer = Sealer(segments)
        self._follower = Follower(segments, keys, self._tree, self._on_filled)
        self._writer = GroupCommit(segments, keys, self._size, self._on_commit)
        self._thread = FollowerThread(self._follower, lambda: self.size)
        self._thread.wake()

    @classmethod
    def open(cls, directory: Path, keys: Path, *, readonly: bool = False) -> "Journal":
        """Open the segments in ``directory`` with their keys in ``keys``.

        For writing, the caller holds the state directory's lock; a torn tail is cut and noted in
        ``recovered``. Read-only nothing is changed, and a running writer is not disturbed: what it
        committed later is seen after ``refresh``.

        Raises JournalError: ``JOURNAL_DAMAGED`` or ``SEGMENT_DAMAGED`` (acknowledged records cannot
        be read), ``JOURNAL_SHORTER`` (for writing: they are gone), ``JOURNAL_UNREADABLE``.
        """
        segments, cut = open_segments(directory, repair=not readonly)
        try:
            return cls(segments, SegmentKeys(keys), cut, readonly=readonly)
        except BaseException:
            segments.close()
            raise

    @property
    def size(self) -> int:
        """Committed records: all of them are durable."""
        return self._size if self._writer is None else self._writer.size

    @property
    def failure(self) -> JournalError | None:
        """Why the journal stopped taking records, if it did."""
        return None if self._writer is None else self._writer.failure

    def append(self, drafts: Sequence[tuple[Kind, bytes, bytes]]) -> "Future[Commit]":
        """Queue ``drafts`` to be committed together, in this order, all or none; returns at once.

        The future is done when they are durable. Raises JournalError at once: ``BUSY`` (retryable:
        too much waits for the disk), ``RECORD_TOO_LARGE``, ``JOURNAL_CLOSED``, ``JOURNAL_FAILED``.
        The future fails with JournalError: ``DISK_FULL`` or ``JOURNAL_UNWRITABLE`` (retryable:
        nothing was stored), ``JOURNAL_FAILED`` (whether it was stored is not known; the journal
        takes nothing more until it is opened again).
        """
        if self._writer is None:
            raise JournalError(
                "JOURNAL_READ_ONLY",
                "the journal was opened to read only",
                remedy="send records to the agent that writes it",
            )
        return self._writer.append(drafts)

    def read(self, seq: int) -> Record:
        """The record ``seq``. Raises JournalError ``NO_SUCH_RECORD``, ``SEGMENT_DAMAGED``."""
        if not 0 <= seq < self.size:
            raise _beyond(f"there is no record {seq} in a log of {self.size}")
        return next(self._segments.records(seq, seq + 1))

    def scan(self, start: int, stop: int | None = None) -> Iterator[Record]:
        """Records from ``start`` to before ``stop``, at most those committed now, in order."""
        return self._segments.records(start, self.size if stop is None else min(stop, self.size))

    def slices(self, start: int, stop: int) -> Iterator[RecordSlice]:
        """The same in bulk, for indexing: kinds and contents, unchecked."""
        return self._segments.slices(start, min(stop, self.size))

    def segment_key(self, seq: int) -> bytes:
        """Key of the segment that holds ``seq``. Raises JournalError ``SEGMENT_KEY_MISSING``."""
        return self._keys.get(seq // SEGMENT_RECORDS)

    def leaf_salts(self, seq: int) -> tuple[bytes, bytes]:
        """Salts of payload and provenance in the leaf of ``seq``."""
        return salts(self.segment_key(seq), seq)

    def follow(self, size: int | None = None) -> None:
        """Return when the first ``size`` records (None: all) are in the tree."""
        self._follower.reach(self._checked(self.size if size is None else size))

    def root(self, size: int) -> bytes:
        """Root over the first ``size`` records. Raises JournalError ``NO_SUCH_RECORD``."""
        self.follow(size)
        return self._tree.range_hash(0, size) if size else EMPTY_ROOT

    def range_hash(self, start: int, end: int) -> bytes:
        """Root over records ``[start, end)``, aligned as ``log_tree.RangeHash`` says."""
        self.follow(end)
        return self._tree.range_hash(start, end)

    def inclusion(self, seq: int, size: int) -> list[bytes]:
        """Path from the leaf of ``seq`` to ``root(size)`` (RFC 9162 2.1.3)."""
        if seq >= size:
            raise _beyond(f"record {seq} is not among the first {size}")
        self.follow(size)
        return self._tree.inclusion(seq, size)

    def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """Proof that the log of ``new_size`` begins with that of ``old_size`` (RFC 9162 2.1.4)."""
        if old_size > new_size:
            raise _beyond(f"a log of {new_size} cannot begin with one of {old_size}")
        self.follow(new_size)
        return self._tree.consistency(old_size, new_size)

    def subscribe(self, subscriber: Callable[[RecordSlice], None]) -> None:
        """Hand every slice that is hashed from now on to ``subscriber``; it must not raise."""
        self._follower.subscribe(subscriber)

    def observe_commits(self, observer: CommitObserver) -> None:
        """Call ``observer`` for every commit from now on."""
        self._observers = [*self._observers, observer]  # the writer may be going through it

    def disregard_commits(self, observer: CommitObserver) -> None:
        """Do not call ``observer`` any longer."""
        self._observers = [known for known in self._observers if known != observer]

    def refresh(self) -> None:
        """See what a running writer committed meanwhile. Of use only where opened read-only."""
        if self._writer is not None:
            return
        known = {segment.number: segment.scan() for segment in self._segments.raw}
        segments, _ = open_segments(self._segments.directory, repair=False, known=known)
        stale, self._segments = self._segments, segments
        self._follower.segments = segments
        self._size = _count(segments)
        stale.close()

    def mark_size(self) -> None:
        """State durably how far the log has come, so that a start misses what is lost of it."""
        if self._writer is not None:
            self._high_water.write(self._writer.size)

    def close(self) -> None:
        """Finish the commits that wait, then stop. Appending afterwards is refused."""
        if self._writer is not None:
            self._writer.close()
            self.mark_size()
        if self._thread is not None:
            self._thread.close()
        if self._sealer is not None:
            self._sealer.close()
        self._segments.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _on_commit(
        self, first_seq: int, appends: Sequence[Sequence[tuple[Kind, bytes, bytes]]]
    ) -> None:
        for observer in self._observers:
            observer(first_seq, appends)
        if self._thread is not None:
            self._thread.wake()

    def _on_filled(self, number: int, root: bytes) -> None:
        self.mark_size()
        if self._sealer is not None:
            self._sealer.filled(number, root)

    def _leaves_of(self, segment: int) -> Iterator[bytes]:
        first = segment * SEGMENT_RECORDS
        key = self._keys.get(segment)
        for records in self._segments.slices(first, first + SEGMENT_RECORDS):
            yield from leaf_hashes(key, records.first_seq, records.contents)

    def _checked(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise _beyond(f"the log has {self.size} records, not {size}")
        return size


def _count(segments: Segments) -> int:
    raw = segments.raw
    if not raw:
        return segments.sealed * SEGMENT_RECORDS
    return raw[-1].first_seq + raw[-1].count


def _beyond(what: str) -> JournalError:
    return JournalError("NO_SUCH_RECORD", what, remedy="see `swt3-agent log` for what is there")
