"""Checking what single records say: commit marks, provenance, and the evidence they name."""

from pathlib import Path

import msgspec

from swt3_agent.errors import FormatError, JournalError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.record import (
    FLAG_COMMIT_END,
    FLAG_COMMIT_START,
    MAX_BODY,
    Kind,
    Record,
)
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.fsck.findings import Report

_REMEMBERED = 4096


class _Attachment(msgspec.Struct):
    digest: str | None = None
    size: int | None = None


class _Evidence(_Attachment):
    attachments: dict[str, _Attachment] = {}


class ContentChecker:
    """Sees all records in order."""

    def __init__(self, evidence: Path, report: Report) -> None:
        self._evidence = EvidenceStore(evidence)
        self._report = report
        self._ended = True
        self._next_seq = 0
        self._canonical: set[bytes] = set()
        self._checked: set[str] = set()

    def see(self, record: Record) -> None:
        """Check ``record`` by itself and against the one before it."""
        starts = bool(record.flags & FLAG_COMMIT_START)
        if record.seq == self._next_seq and starts != self._ended:
            what = "starts inside" if starts else "does not start"
            self._report("COMMIT_MARKS", f"record {record.seq}", f"it {what} a commit")
        self._ended = bool(record.flags & FLAG_COMMIT_END)
        self._next_seq = record.seq + 1
        self._check_provenance(record)
        if record.kind is Kind.EVIDENCE:
            self._check_evidence(record)

    def _check_provenance(self, record: Record) -> None:
        provenance = record.provenance
        if provenance in self._canonical:  # the records of a batch share theirs
            return
        try:
            canonical = canonical_json(strict_json.loads(provenance, max_bytes=MAX_BODY))
        except FormatError as error:
            self._report("PROVENANCE_NOT_CANONICAL", f"record {record.seq}", error.message)
            return
        if canonical != provenance:
            detail = "its provenance is JSON in another spelling than RFC 8785"
            self._report("PROVENANCE_NOT_CANONICAL", f"record {record.seq}", detail)
            return
        if len(self._canonical) >= _REMEMBERED:
            self._canonical.clear()
        self._canonical.add(provenance)

    def _check_evidence(self, record: Record) -> None:
        try:
            evidence = msgspec.json.decode(record.payload, type=_Evidence)
        except MALFORMED:
            return
        for file in (evidence, *evidence.attachments.values()):
            self._check_file(record.seq, file)

    def _check_file(self, seq: int, file: _Attachment) -> None:
        if file.digest is None or file.digest in self._checked:
            return
        self._checked.add(file.digest)
        try:
            content = self._evidence.get(file.digest)
        except ValueError as error:
            self._report("EVIDENCE_MISSING", f"record {seq}", str(error))
        except JournalError as error:
            self._report(error.code, f"record {seq}", error.message)
        else:
            if file.size is not None and file.size != len(content):
                detail = f"it states {file.size} bytes of evidence; there are {len(content)}"
                self._report("EVIDENCE_CHANGED", f"record {seq}", detail)
