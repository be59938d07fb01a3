"""Checking the catalogue against an index made from the records themselves."""

import sqlite3
from array import array
from collections import Counter
from pathlib import Path

from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue_file import CatalogueFile
from swt3_agent.store.fsck.findings import Report
from swt3_agent.store.segment_file import SEGMENT_RECORDS
from swt3_agent.store.segment_index import FREQUENT, SegmentIndex


class CatalogueChecker:
    """Sees the index of each full segment in order. A catalogue that is absent is no finding."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path = path
        self._report = report
        self._kinds: Counter[int] = Counter()
        self._verdicts: Counter[tuple[str, str, str]] = Counter()
        self._last_of_kind: dict[int, int] = {}
        self._last_of_verdict: dict[tuple[str, str, str], int] = {}
        self._file: CatalogueFile | None = None
        self._segments = 0
        self._compared = 0
        self._last_root = b""
        self._differing: list[str] = []
        self._other_log = False
        if not path.exists():
            return
        try:
            self._file = CatalogueFile.open_to_read(path)
            self._segments, self._last_root = self._file.position()
        except sqlite3.Error as error:
            self._unreadable(error)

    def see(self, index: SegmentIndex, root: bytes | None) -> None:
        """Compare what the catalogue holds of one segment, whose subtree root is ``root``."""
        if self._file is None or index.number >= self._segments:
            return
        try:
            differs = self._differences(self._file, index)
        except sqlite3.Error as error:
            self._unreadable(error)
            return
        if differs:
            self._differing.append(f"{differs} of {index.number}")
        if index.number == self._segments - 1 and root is not None:
            self._other_log = root != self._last_root
        self._kinds.update(index.kinds)
        self._verdicts.update(index.verdicts)
        self._last_of_kind.update(index.last_of_kind)
        self._last_of_verdict.update(index.last_of_verdict)
        self._compared += 1

    def finish(self, size: int) -> None:
        """Compare the sums, if they are of the segments that were seen, and close the file.

        ``size`` is the number of records that the journal holds.
        """
        file = self._file
        if file is None:
            return
        indexed = self._segments * SEGMENT_RECORDS
        if indexed > size:
            detail = f"it indexes {indexed} records, and the journal holds {size}"
            self._report("JOURNAL_SHORTER", str(self._path), detail)
        if self._other_log:
            detail = "it was made from other records, or with other segment keys"
            self._report("CATALOGUE_OTHER_LOG", str(self._path), detail)
        else:
            for differs in self._differing:
                self._report("CATALOGUE_DIFFERS", str(self._path), differs)
        try:
            wrong = self._sums_differ(file)
            seen = self._compared == self._segments == file.position()[0]  # last: it may grow
            if seen and wrong and not self._other_log:
                self._report("CATALOGUE_DIFFERS", str(self._path), "its counts are wrong")
        except sqlite3.Error as error:
            self._unreadable(error)
        finally:
            file.close()
            self._file = None

    def _sums_differ(self, file: CatalogueFile) -> bool:
        kinds = {kind: (count, self._last_of_kind[kind]) for kind, count in self._kinds.items()}
        verdicts = {key: (n, self._last_of_verdict[key]) for key, n in self._verdicts.items()}
        return kinds != {kind: (count, last) for kind, count, last in file.kinds()} or verdicts != {
            tuple(key): (n, last) for *key, n, last in file.verdicts()
        }

    def _differences(self, file: CatalogueFile, index: SegmentIndex) -> str:
        for bucket, entries in enumerate(index.fingerprints):
            if file.fingerprints(index.number, bucket) != array("Q", sorted(entries)).tobytes():
                return "fingerprints of segment"
        for (client, batch), (first, end) in index.batches.items():
            run = file.find_batch(client, batch)
            if run is None or (run[0] <= first and end > run[1]) or run[0] > first:
                return "batches of segment"
        if any(file.size_of_head(note) != size for note, size in index.notes.items()):
            return "heads of segment"
        first = index.number * SEGMENT_RECORDS
        rare = {(int(kind), "") for kind in Kind if kind not in FREQUENT} | index.rare.keys()
        if any(
            file.records_of(*key, first, first) != index.records_of(*key) for key in sorted(rare)
        ):
            return "rare kinds of segment"
        return ""

    def _unreadable(self, error: Exception) -> None:
        self._report("CATALOGUE_UNREADABLE", str(self._path), str(error))
        if self._file is not None:
            self._file.close()
            self._file = None
