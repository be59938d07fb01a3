"""The catalogue's SQLite file: one transaction for each full segment.

It is derived data. ``synchronous=NORMAL`` therefore loses nothing: a transaction that a power cut
takes away is indexed again from the journal at the next start, and a file that cannot be read is
deleted and filled anew. ``FULL`` would buy one more sync for each segment and no safety.

Fingerprints are spread over their whole range, so a B-tree of them would rewrite a page for each
record. Each segment adds 256 sorted runs instead, 8 bytes a record, always at the end of the file;
a look-up reads one run of each segment.
"""

import os
import sqlite3
import sys
from array import array
from bisect import bisect_left
from pathlib import Path

from swt3_agent.errors import JournalError
from swt3_agent.store.durable import PRIVATE_FILE
from swt3_agent.store.segment_file import SEGMENT_RECORDS
from swt3_agent.store.segment_index import (
    BUCKETS,
    SegmentIndex,
    absolute,
    bucket_of,
    entries_of,
    offset_of,
)

SCHEMA_VERSION = 4
IN_MEMORY = ":memory:"
_SCHEMA = """
CREATE TABLE meta (
    version INTEGER NOT NULL,
    byte_order TEXT NOT NULL,
    segments INTEGER NOT NULL,      -- segments [0, segments) are indexed
    last_root BLOB NOT NULL         -- subtree root of the last of them: tells another log
);
CREATE TABLE fingerprints (id INTEGER PRIMARY KEY, entries BLOB NOT NULL);
CREATE TABLE clients (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE batches (
    client INTEGER NOT NULL, batch INTEGER NOT NULL, first INTEGER NOT NULL, end INTEGER NOT NULL,
    PRIMARY KEY (client, batch)
) WITHOUT ROWID;
CREATE TABLE heads (note INTEGER PRIMARY KEY, size INTEGER NOT NULL, quote INTEGER);
CREATE TABLE kinds (kind INTEGER PRIMARY KEY, count INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE TABLE verdicts (
    tenant TEXT NOT NULL, procedure TEXT NOT NULL, verdict TEXT NOT NULL,
    count INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (tenant, procedure, verdict)
) WITHOUT ROWID;
CREATE TABLE rare (
    kind INTEGER NOT NULL, collector TEXT NOT NULL, segment INTEGER NOT NULL,
    offsets BLOB NOT NULL,
    PRIMARY KEY (kind, collector, segment)
) WITHOUT ROWID;
"""
_PRAGMAS = """
PRAGMA page_size = 32768;           -- 15 runs of fingerprints fill a page to 94 %
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA wal_autocheckpoint = 64;
PRAGMA cache_size = -2048;
"""


class CatalogueFile:
    """The file; its caller lets one thread at it at a time, except for ``write``."""

    def __init__(self, name: str, *, create: bool = True) -> None:
        self._writer = _connect(name)
        if not create:
            self._reader = self._writer
            return
        try:
            self._writer.executescript(_PRAGMAS)
            if not self._writer.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                self._create()
            self._reader = self._writer if name == IN_MEMORY else _connect(name)
        except BaseException:
            self._writer.close()
            raise

    @classmethod
    def open(cls, path: Path | None) -> "CatalogueFile":
        """Open the file (None: in memory); one that cannot be read is made anew.

        Raises JournalError ``CATALOGUE_FAILED``.
        """
        if path is None:
            return cls(IN_MEMORY)
        try:
            _create_private(path)
            file = _open_current(path)
            if file is None:
                delete(path)
                _create_private(path)
                file = cls(str(path))
        except (OSError, sqlite3.Error) as error:
            raise failed(error) from error
        return file

    @classmethod
    def open_to_read(cls, path: Path) -> "CatalogueFile":
        """Open a file that is there, beside its agent or without. Raises sqlite3.Error."""
        # Where nobody writes, SQLite need not leave its shared-memory file behind.
        written = path.with_name(f"{path.name}-wal").exists()
        mode = "mode=ro" if written else "immutable=1"
        return cls(f"{path.absolute().as_uri()}?{mode}", create=False)

    def _create(self) -> None:
        self._writer.executescript(_SCHEMA)
        meta = (SCHEMA_VERSION, sys.byteorder, 0, b"")
        self._writer.execute("INSERT INTO meta VALUES (?, ?, ?, ?)", meta)
        self._writer.commit()

    def clear(self) -> None:
        """Start over. Raises sqlite3.Error."""
        tables = self._writer.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (name,) in tables.fetchall():
            self._writer.execute(f"DROP TABLE {name}")
        self._create()

    def is_current(self) -> bool:
        """Whether this version wrote it, on a machine of this byte order."""
        row = self._reader.execute("SELECT version, byte_order FROM meta").fetchone()
        return bool(row == (SCHEMA_VERSION, sys.byteorder))

    def position(self) -> tuple[int, bytes]:
        """How many segments are indexed, and the subtree root of the last."""
        segments, root = self._reader.execute("SELECT segments, last_root FROM meta").fetchone()
        return segments, root

    def write(self, index: SegmentIndex, root: bytes) -> None:
        """Add a full segment, without making it visible: see ``commit``."""
        run = self._writer.execute
        self._writer.executemany(
            "INSERT INTO fingerprints VALUES (?, ?)",
            (
                (index.number * BUCKETS + bucket, array("Q", sorted(entries)).tobytes())
                for bucket, entries in enumerate(index.fingerprints)
                if entries
            ),
        )
        clients = {client for client, _ in index.batches}
        self._writer.executemany(
            "INSERT INTO clients (name) VALUES (?) ON CONFLICT DO NOTHING",
            ((client,) for client in clients),
        )
        ids = {
            client: run("SELECT id FROM clients WHERE name = ?", (client,)).fetchone()[0]
            for client in clients
        }
        self._writer.executemany(
            "INSERT INTO batches VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET end = max(end, excluded.end) WHERE excluded.first BETWEEN first AND end",
            (
                (ids[client], batch, first, end)
                for (client, batch), (first, end) in index.batches.items()
            ),
        )
        self._writer.executemany("INSERT INTO heads VALUES (?, ?, NULL)", index.notes.items())
        self._writer.executemany(
            "UPDATE heads SET quote = ? WHERE note = ?",
            ((quote, note) for note, quote in index.quotes),
        )
        self._writer.executemany(
            "INSERT INTO kinds VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
            " SET count = count + excluded.count, last = excluded.last",
            ((kind, count, index.last_of_kind[kind]) for kind, count in index.kinds.items()),
        )
        self._writer.executemany(
            "INSERT INTO verdicts VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET count = count + excluded.count, last = excluded.last",
            ((*key, count, index.last_of_verdict[key]) for key, count in index.verdicts.items()),
        )
        self._writer.executemany(
            "INSERT INTO rare VALUES (?, ?, ?, ?)",
            ((*key, index.number, offsets.tobytes()) for key, offsets in index.rare.items()),
        )
        run("UPDATE meta SET segments = ?, last_root = ?", (index.number + 1, root))

    def commit(self) -> None:
        """Make what was written visible."""
        self._writer.commit()

    def roll_back(self) -> None:
        """Forget what was written."""
        self._writer.rollback()

    def find_fingerprint(self, fingerprint: int) -> list[int]:
        """Sequence numbers of the anchors that bear ``fingerprint``, in order."""
        lowest, after = entries_of(fingerprint)
        segments, _ = self.position()
        found: list[int] = []
        for segment in range(segments):
            entries = array("Q", self.fingerprints(segment, bucket_of(fingerprint)))
            hits = entries[bisect_left(entries, lowest) : bisect_left(entries, after)]
            found += [segment * SEGMENT_RECORDS + offset_of(entry) for entry in hits]
        return found

    def fingerprints(self, segment: int, bucket: int) -> bytes:
        """The sorted entries of one bucket of a segment, 8 bytes each."""
        row = self._reader.execute(
            "SELECT entries FROM fingerprints WHERE id = ?", (segment * BUCKETS + bucket,)
        ).fetchone()
        return b"" if row is None else bytes(row[0])

    def find_batch(self, client: str, batch: int) -> tuple[int, int] | None:
        """Records [first, end) of a batch."""
        row: tuple[int, int] | None = self._reader.execute(
            "SELECT first, end FROM batches WHERE batch = ?"
            " AND client = (SELECT id FROM clients WHERE name = ?)",
            (batch, client),
        ).fetchone()
        return row

    def last_batch(self, client: str) -> int | None:
        """The highest batch number of ``client``."""
        row = self._reader.execute(
            "SELECT max(batch) FROM batches WHERE client = (SELECT id FROM clients WHERE name = ?)",
            (client,),
        ).fetchone()
        last: int | None = row[0]
        return last

    def heads(self, newest: int) -> list[tuple[int, int, int | None]]:
        """Note, size and quote of the ``newest`` heads (-1: of all), oldest first."""
        rows = self._reader.execute(
            "SELECT note, size, quote FROM heads ORDER BY note DESC LIMIT ?", (newest,)
        ).fetchall()
        return rows[::-1]

    def last_signed_head(self, most: int) -> tuple[int, int, int] | None:
        """Note, size and quote of the newest head of at most ``most`` records that has a quote."""
        row: tuple[int, int, int] | None = self._reader.execute(
            "SELECT note, size, quote FROM heads WHERE quote IS NOT NULL AND size <= ?"
            " ORDER BY note DESC LIMIT 1",
            (most,),
        ).fetchone()
        return row

    def size_of_head(self, note: int) -> int:
        """The size that a note states; -1 where there is no such note."""
        row = self._reader.execute("SELECT size FROM heads WHERE note = ?", (note,)).fetchone()
        return -1 if row is None else int(row[0])

    def kinds(self) -> list[tuple[int, int, int]]:
        """Kind, count and last sequence number."""
        return self._reader.execute("SELECT kind, count, last FROM kinds").fetchall()

    def verdicts(self) -> list[tuple[str, str, str, int, int]]:
        """Tenant, procedure, verdict, count and last sequence number."""
        return self._reader.execute("SELECT * FROM verdicts").fetchall()

    def records_of(self, kind: int, collector: str, start: int, stop: int) -> list[int]:
        """The records of a rare kind in the segments from that of ``start`` to that of ``stop``."""
        rows = self._reader.execute(
            "SELECT segment, offsets FROM rare WHERE kind = ? AND collector = ?"
            " AND segment BETWEEN ? AND ? ORDER BY segment",
            (kind, collector, start // SEGMENT_RECORDS, stop // SEGMENT_RECORDS),
        )
        return [seq for segment, offsets in rows for seq in absolute(segment, array("H", offsets))]

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


def _open_current(path: Path) -> CatalogueFile | None:
    """The file as it is; None where it is damaged or another version's."""
    try:
        file = CatalogueFile(str(path))
    except sqlite3.OperationalError:  # locked, not permitted, no room: nothing is wrong with it
        raise
    except sqlite3.DatabaseError:
        return None
    try:
        if file.is_current():
            return file
    except sqlite3.DatabaseError:
        pass
    file.close()
    return None


def _create_private(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE))


def _connect(name: str) -> sqlite3.Connection:
    return sqlite3.connect(name, check_same_thread=False, timeout=5, uri=name.startswith("file:"))


def delete(path: Path) -> None:
    """Remove the file with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def failed(error: Exception) -> JournalError:
    """The error of a catalogue that cannot be used."""
    return JournalError(
        "CATALOGUE_FAILED",
        f"the catalogue cannot be used: {error}",
        remedy="stop the agent, delete catalogue.db and start again: it is filled anew",
    )
