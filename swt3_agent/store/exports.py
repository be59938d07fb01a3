"""Export records: which ranges of the log left in a bundle (docs/formats.md, "Payloads by kind").

An export record is evidence of what was handed over: it holds the digest of the bundle's manifest,
so that the log itself vouches for the bundle, and a receipt can name it.
"""

import threading
from dataclasses import dataclass

import msgspec

from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.drafts import Draft
from swt3_agent.store.journal import Journal

EXPORT = "export"
"""``collector`` in the payload, and ``phase`` in the provenance, of an export record."""


@dataclass(frozen=True, slots=True)
class Export:
    """Records ``[first, end)`` left in the bundle whose manifest has the SHA-256 ``manifest``.

    ``root`` is that of the first ``end`` records, ``level`` the clearing level that the bundle
    respects, ``tenant`` whose anchors it shows; ``seq`` the export record, ``time_ms`` when it was
    made (UTC).
    """

    seq: int
    time_ms: int
    manifest: str
    first: int
    end: int
    root: str
    level: int
    tenant: str


class _Provenance(msgspec.Struct):
    phase: str = ""
    tenant: str = ""


class _Payload(msgspec.Struct):
    collector: str
    manifest: str
    first: int
    end: int
    root: str
    level: int


def export_draft(
    manifest: str, first: int, end: int, root: str, *, tenant: str, level: int
) -> Draft:
    """The record of an export; see ``Export``."""
    provenance = {"listener": "agent", "phase": EXPORT, "tenant": tenant}
    payload = {
        "collector": EXPORT,
        "digest": None,  # no raw evidence: the manifest is in the bundle
        "size": None,
        "root_of_trust": "self-reported",
        "duration_ms": 0,
        "lack": None,
        "code": None,
        "manifest": manifest,
        "first": first,
        "end": end,
        "root": root,
        "level": level,
    }
    return Draft(Kind.EVIDENCE, canonical_json(provenance), canonical_json(payload))


class Exports:
    """The exports of a log, read from its records; any thread may ask."""

    def __init__(self, journal: Journal, catalogue: Catalogue) -> None:
        self._journal = journal
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._found: list[Export] = []
        self._looked_to = 0

    def all(self) -> list[Export]:
        """Every export, oldest first. Raises JournalError."""
        with self._lock:
            size = self._journal.size
            for seq in self._catalogue.records_of(
                Kind.EVIDENCE, self._looked_to, size, collector=EXPORT
            ):
                export = _read(self._journal.read(seq))
                if export is not None:
                    self._found.append(export)
            self._looked_to = size
            return list(self._found)

    def find(self, manifest: str) -> Export | None:
        """The export with this manifest digest (hex SHA-256). Raises JournalError."""
        return next((export for export in self.all() if export.manifest == manifest), None)


def _read(record: Record) -> Export | None:
    try:
        origin = msgspec.json.decode(record.provenance, type=_Provenance)
        if origin.phase != EXPORT:
            return None
        read = msgspec.json.decode(record.payload, type=_Payload)
    except MALFORMED:  # `fsck` says what is wrong with it
        return None
    return Export(
        seq=record.seq,
        time_ms=record.received_ns // 1_000_000,
        manifest=read.manifest,
        first=read.first,
        end=read.end,
        root=read.root,
        level=read.level,
        tenant=origin.tenant,
    )
