"""The check itself: one pass over all records, with every checker looking on."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from swt3_agent.errors import JournalError, StateError
from swt3_agent.protocol.log_tree import EMPTY_ROOT, leaf_hashes
from swt3_agent.protocol.record import Record
from swt3_agent.store.frames import RecordSlice
from swt3_agent.store.fsck.catalogue import CatalogueChecker
from swt3_agent.store.fsck.contents import ContentChecker
from swt3_agent.store.fsck.findings import Finding, finding
from swt3_agent.store.fsck.heads import HeadChecker
from swt3_agent.store.fsck.keys import AkChecker, check_key_files, check_modes
from swt3_agent.store.fsck.segments import raw_records, sealed_records
from swt3_agent.store.high_water import HighWater
from swt3_agent.store.segment_file import RAW_SUFFIX, SEGMENT_RECORDS, segment_name
from swt3_agent.store.segment_index import SegmentIndex
from swt3_agent.store.segment_keys import SegmentKeys
from swt3_agent.store.segments import list_segments
from swt3_agent.store.state import STATE_VERSION, Layout, StateDirectory
from swt3_agent.store.tree import LogTree

Progress = Callable[[int, int], None]
"""Told now and then: records checked, and about how many there are."""


def check(directory: Path, progress: Progress | None = None) -> list[Finding]:
    """Check the state directory; what is wrong with it, nothing if it is sound.

    Changes nothing and takes no lock: beside a running agent the committed records are checked.
    Raises StateError where there is no state or it may not be read.
    """
    return _Check(directory, progress).run()


class _Check:
    def __init__(self, directory: Path, progress: Progress | None) -> None:
        self._layout = Layout(directory)
        self._progress = progress
        self._live = StateDirectory.peek(directory) is not None
        self._findings: list[Finding] = []
        self._keys = SegmentKeys(self._layout.keys)
        self._tree: LogTree | None = LogTree([], self._leaves_of)
        self._index: SegmentIndex | None = None
        self._next_seq = 0

    def run(self) -> list[Finding]:
        self._check_version()
        check_modes(self._layout, self._report)
        committed = self._committed()  # before the look at what grows
        catalogue = CatalogueChecker(self._layout.catalogue, self._report)
        sealed, raw = self._list()
        numbers = sorted(sealed + raw)
        for expected in range(numbers[-1] + 1 if numbers else 0):
            if expected not in numbers:
                self._report("SEGMENT_MISSING", segment_name(expected), "there is no such file")
        check_key_files(
            self._layout.keys, numbers[-1] + 1 if numbers else 0, self._report, live=self._live
        )
        heads = HeadChecker(self._root_of, self._report)
        contents = ContentChecker(self._layout.evidence, self._report)
        key = AkChecker(self._layout.keys, self._report)
        for number in numbers:
            for records, stated_root in self._records(number, number in sealed, numbers[-1]):
                self._follow(number, records, stated_root)
                for record in records:
                    contents.see(record)
                    heads.see(record)
                    key.see(record)
                if self._index is not None and self._index.is_full:
                    catalogue.see(self._index, stated_root or self._segment_root(number))
                if self._progress is not None:
                    self._progress(self._next_seq, len(numbers) * SEGMENT_RECORDS)
        key.finish()
        catalogue.finish(self._next_seq)
        unreadable = any(finding.code == "SEGMENT_UNREADABLE" for finding in self._findings)
        if self._next_seq < committed and not unreadable:
            where = str(HighWater(self._layout.journal).path)
            detail = f"it counts {committed} records, and the journal holds {self._next_seq}"
            self._report("JOURNAL_SHORTER", where, detail)
        return self._findings

    def _records(
        self, number: int, is_sealed: bool, last: int
    ) -> Iterator[tuple[list[Record], bytes | None]]:
        directory = self._layout.journal
        path = directory / f"{segment_name(number)}{RAW_SUFFIX}"
        if not is_sealed:
            with suppress(FileNotFoundError):  # then it was sealed since we looked
                for records in raw_records(
                    path, number, self._report, last=number == last, live=self._live
                ):
                    yield records, None
                return
        yield from sealed_records(directory, number, self._report)

    def _follow(self, number: int, records: list[Record], stated_root: bytes | None) -> None:
        """Extend tree and index; both end at the first record that cannot be read."""
        first_seq = records[0].seq
        gap, self._next_seq = first_seq != self._next_seq, records[-1].seq + 1
        if gap:
            self._tree = self._index = None
        if first_seq % SEGMENT_RECORDS == 0:
            self._index = SegmentIndex(number, first_seq)
        contents = [(record.provenance, record.payload) for record in records]
        if self._index is not None:
            self._index.add(RecordSlice(first_seq, [int(r.kind) for r in records], contents))
        if self._tree is None:
            return
        try:
            leaves = leaf_hashes(self._keys.get(number), first_seq, contents)
        except JournalError as error:
            self._report(error.code, str(self._keys.path(number)), error.message)
            self._tree = None
            return
        root = self._tree.extend(leaves)
        if root is not None and stated_root is not None and root != stated_root:
            detail = f"its footer states root {stated_root.hex()}; its records give {root.hex()}"
            self._report("SEALED_ROOT", segment_name(number), detail)

    def _root_of(self, size: int) -> bytes | None:
        if self._tree is None or size > self._tree.size:
            return None
        try:
            return self._tree.range_hash(0, size) if size else EMPTY_ROOT
        except JournalError:  # what was read a moment ago is not there any more
            return None

    def _segment_root(self, number: int) -> bytes | None:
        first = number * SEGMENT_RECORDS
        if self._tree is None or self._tree.size < first + SEGMENT_RECORDS:
            return None
        return self._tree.range_hash(first, first + SEGMENT_RECORDS)

    def _committed(self) -> int:
        high_water = HighWater(self._layout.journal)
        try:
            return high_water.read()
        except JournalError as error:
            self._report(error.code, str(high_water.path), error.message)
            return 0

    def _leaves_of(self, number: int) -> Iterator[bytes]:
        """Leaves of a segment that was left behind: a note may state a size well before it."""
        records = self._records(number, number in list_segments(self._layout.journal)[0], -1)
        for part, _ in records:
            contents = [(record.provenance, record.payload) for record in part]
            yield from leaf_hashes(self._keys.get(number), part[0].seq, contents)

    def _check_version(self) -> None:
        try:
            version = self._layout.version.read_bytes()
        except OSError as error:
            raise StateError(
                "STATE_ABSENT",
                f"there is no agent state in {self._layout.root}: {error.strerror}",
                remedy="name a state directory that this user may read",
            ) from error
        if version != b"%d\n" % STATE_VERSION:
            self._report("STATE_VERSION", str(self._layout.version), f"it says {version[:20]!r}")

    def _list(self) -> tuple[list[int], list[int]]:
        try:
            return list_segments(self._layout.journal)
        except OSError as error:
            raise StateError(
                "STATE_DENIED",
                f"the journal in {self._layout.root} cannot be read: {error.strerror}",
                remedy="check as the user who runs the agent",
            ) from error

    def _report(self, code: str, where: str, detail: str) -> None:
        self._findings.append(finding(code, where, detail))
