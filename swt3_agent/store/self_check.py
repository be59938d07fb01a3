"""The log checked against itself: what the daily audit does before it seals a day.

Read back from disk and hashed anew: every record from the segment on that holds ``start``, and of
the segments before it those whose turn it is, so that each is read again every four weeks. Taken
from their stored roots: the other segments. Compared with each other: the roots of the segments
that were read, the log's root, the newest heads, and the log as the audit before stated it. `fsck`
reads all of them at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from swt3_agent.errors import FormatError, JournalError
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.log_tree import EMPTY_ROOT, leaf_hashes
from swt3_agent.protocol.record import Record
from swt3_agent.store.catalogue import Catalogue, HeadEntry
from swt3_agent.store.head_records import read_head
from swt3_agent.store.journal import Journal
from swt3_agent.store.seals import LogState
from swt3_agent.store.segment_file import SEGMENT_RECORDS, SLICE_RECORDS
from swt3_agent.store.tree import LogTree

TURNS = 28
"""Audits in which every old segment is read once."""

_RESTORE = "run `swt3-agent fsck`; restore journal/ and keys/ from one backup, or tell an assessor"


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """What came of it. ``root`` is over the first ``size`` records as they are on disk now, None
    where some could not be read; ``entries`` counts those that were read back."""

    size: int
    entries: int
    root: bytes | None
    head_size: int | None
    head_signed: bool
    problems: tuple[Reason, ...]


def check_log(
    journal: Journal,
    catalogue: Catalogue,
    start: int,
    size: int,
    earlier: LogState | None,
    turn: int,
    see: Callable[[Record], None],
    breathe: Callable[[], None],
) -> SelfCheck:
    """Check the first ``size`` records; hand those from ``start`` on to ``see`` as they are read.

    ``earlier`` is the log as an audit before stated it; ``turn`` is one more every day, and chooses
    which older segments are read again. ``breathe`` is called after each slice, a
    few milliseconds of work; what it raises ends the check. Damage is a problem, never an error.
    """
    check = _SelfCheck(journal, catalogue, breathe)
    check.read_again(start // SEGMENT_RECORDS, turn)
    return check.run(start, size, earlier, see)


class _SelfCheck:
    def __init__(self, journal: Journal, catalogue: Catalogue, breathe: Callable[[], None]) -> None:
        self._journal = journal
        self._catalogue = catalogue
        self._breathe = breathe
        self._problems: list[Reason] = []
        self._entries = 0

    def read_again(self, number: int, turn: int) -> None:
        """Of the segments before ``number`` those whose turn it is. One that is damaged keeps no
        day from being sealed, for its root is stored; but the log has not held."""
        for old in range(turn % TURNS, number, TURNS):
            first = old * SEGMENT_RECORDS
            try:
                key = self._journal.segment_key(first)
                tree, root = LogTree((), self._leaves_of), None
                for part in self._journal.slices(first, first + SEGMENT_RECORDS):
                    root = tree.extend(leaf_hashes(key, part.first_seq, part.contents))
                    self._entries += len(part.contents)
                    self._breathe()
                self._compare(
                    "SEGMENT_ROOT", f"segment {old}", root or EMPTY_ROOT, self._stored(old)
                )
            except (JournalError, FormatError, ValueError) as error:
                self._note(error)

    def run(
        self, start: int, size: int, earlier: LogState | None, see: Callable[[Record], None]
    ) -> SelfCheck:
        root, head = None, None
        try:
            tree = self._read_back(start, size, see)
            root = _root(tree, size)
            self._compare("LOG_ROOT", f"log of {size}", root, self._journal.root(size))
            if earlier is not None and earlier.size <= size:
                stated = bytes.fromhex(earlier.root)
                was = f"log of {earlier.size} that the audit before stated"
                self._compare("AUDITED_ROOT", was, _root(tree, earlier.size), stated)
            head = self._compare_heads(tree, size)
        except (JournalError, FormatError, ValueError) as error:
            self._note(error)
        return SelfCheck(
            size,
            self._entries,
            root,
            None if head is None else head.size,
            head is not None and head.quote_seq is not None,
            tuple(self._problems),
        )

    def _read_back(self, start: int, size: int, see: Callable[[Record], None]) -> LogTree:
        journal = self._journal
        number = start // SEGMENT_RECORDS
        first = number * SEGMENT_RECORDS
        stored = [self._stored(segment) for segment in range(number)]
        tree = LogTree(stored, self._leaves_of)
        records = journal.scan(first, size)
        while part := list(islice(records, SLICE_RECORDS)):
            number = part[0].seq // SEGMENT_RECORDS
            contents = [(record.provenance, record.payload) for record in part]
            leaves = leaf_hashes(journal.segment_key(part[0].seq), part[0].seq, contents)
            root = tree.extend(leaves)
            self._entries += len(part)
            if root is not None:
                self._compare("SEGMENT_ROOT", f"segment {number}", root, self._stored(number))
            for record in part:
                if record.seq >= start:
                    see(record)
            self._breathe()
        return tree

    def _compare_heads(self, tree: LogTree, size: int) -> HeadEntry | None:
        """The newest head that the log of ``size`` covers, a signed one before an unsigned."""
        newest = [head for head in self._catalogue.heads(newest=_HEADS) if head.size <= size]
        signed = [head for head in newest if head.quote_seq is not None]
        for entry in {head.note_seq: head for head in (newest[-1:] + signed[-1:])}.values():
            stated = read_head(self._journal, entry).note
            what = f"head of {entry.size} at record {entry.note_seq}"
            self._compare("HEAD_ROOT", what, _root(tree, entry.size), stated.root)
        best = signed or newest
        return best[-1] if best else None

    def _compare(self, code: str, what: str, found: bytes, stated: bytes) -> None:
        if found != stated:
            detail = f"the {what} has root {stated.hex()}; its records give {found.hex()}"
            self._problems.append(Reason(code, detail, _RESTORE))

    def _note(self, error: JournalError | FormatError | ValueError) -> None:
        if getattr(error, "retryable", False):  # no damage: the agent stops
            raise error
        code = getattr(error, "code", "AUDIT_UNREADABLE")
        self._problems.append(Reason(code, str(error), getattr(error, "remedy", _RESTORE)))

    def _stored(self, number: int) -> bytes:
        first = number * SEGMENT_RECORDS
        return self._journal.range_hash(first, first + SEGMENT_RECORDS)

    def _leaves_of(self, number: int) -> Iterator[bytes]:
        first = number * SEGMENT_RECORDS
        key = self._journal.segment_key(first)
        for records in self._journal.slices(first, first + SEGMENT_RECORDS):
            yield from leaf_hashes(key, records.first_seq, records.contents)
            self._breathe()


_HEADS = 64  # looked at for the newest that a TPM signed


def _root(tree: LogTree, size: int) -> bytes:
    return tree.range_hash(0, size) if size else EMPTY_ROOT
