"""The records of a bundle: each is what its leaf says, none is missing, and what they say."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.bundle import (
    LEAF_ENTRY,
    NO_SALT,
    Disclosure,
    Manifest,
    iter_entries,
    iter_leaves,
)
from swt3_agent.protocol.clearing import clear
from swt3_agent.protocol.gaps import GapSums
from swt3_agent.protocol.log_tree import HASH_SIZE, leaf_from_digests, leaf_hash, salted_digest
from swt3_agent.protocol.record import MAX_BODY, Kind, Record
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.verify.bundle.archive import Archive, Portion, decompress
from swt3_agent.verify.bundle.baselines import Baselines
from swt3_agent.verify.bundle.history import History
from swt3_agent.verify.content import recompute_fingerprint
from swt3_agent.verify.refusal import refusal

Progress = Callable[[int, int], None]
"""Called now and then with records done and records in all."""

_MOST_PROCEDURES = 1000
_OTHERS = "(others)"
_MOST_FAILURES = 1000
_MOST_REASONS = 8  # of a failure that are kept, each of at most 64 characters


class _Provenance(msgspec.Struct, frozen=True):
    listener: str = ""
    tenant: str | None = None
    applied_level: int | None = None
    verdict: str | None = None
    reasons: list[str] = []
    findings: list[str] = []
    baseline: int | None = None


class _Payload(msgspec.Struct, frozen=True):
    procedure_id: str = ""
    clearing_level: int = 0


class _Finding(msgspec.Struct, frozen=True):
    code: str
    detail: str = ""


class _Boot(msgspec.Struct, frozen=True):
    findings: list[_Finding] = []


@dataclass(frozen=True, slots=True)
class Failure:
    """An anchor of the agent whose verdict is FAIL, and the codes of why."""

    seq: int
    procedure_id: str
    received_ns: int
    reasons: tuple[str, ...]


@dataclass(slots=True)
class Contents:
    """What was found in the records. ``findings`` counts what the agent itself noticed, by code;
    ``verdicts`` counts anchors by procedure and verdict, which is empty for relayed ones;
    ``failures`` are the first of those that failed; ``without_sender`` counts relayed ones whose
    provenance is withheld."""

    kinds: Counter[str] = field(default_factory=Counter)
    withheld: Counter[str] = field(default_factory=Counter)
    gaps: GapSums = field(default_factory=GapSums)
    findings: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    baselines: Baselines = field(default_factory=Baselines)
    starts: int = 0
    recomputed: int = 0
    not_recomputed: int = 0
    without_sender: int = 0
    received_ns: tuple[int, int] | None = None


def examine_records(
    archive: Archive,
    manifest: Manifest,
    portions: Sequence[Portion],
    history: History,
    progress: Progress,
) -> Contents:
    """Go through every record once, and hand what the log says of itself to ``history``.

    Raises FormatError: ``BUNDLE_DIGEST``, ``BUNDLE_COMPRESSION``, ``BUNDLE_TOO_LARGE``,
    ``BUNDLE_ENTRY``, ``BUNDLE_LEAVES``; ``RECORD_SEQUENCE``, ``RECORD_LEAF``, ``RECORD_CONTENT``;
    ``CLEARING_LEVEL``, ``FINGERPRINT_MISMATCH``, ``TENANT_MISMATCH``; and as ``History``.
    """
    contents = Contents()
    reader = _Reader(manifest, history, contents)
    for portion in portions:
        data = decompress(portion.entries, archive.listed(portion.entries))
        entries = iter_entries(data)
        leaves = leaves_of(archive, portion)
        for seq, (disclosure, leaf) in enumerate(leaves, portion.first):
            if not disclosure.is_shown:
                contents.withheld[disclosure.label] += 1
                continue
            record = _record_of(seq, leaf, next(entries, None), disclosure)
            if disclosure is Disclosure.PAYLOAD:
                reader.see_without_sender(record)
            else:
                reader.see(record)
        if (left := next(entries, None)) is not None:
            raise refusal("RECORD_SEQUENCE", f"record {left[2].seq} stands where no record belongs")
        progress(portion.end - manifest.first, manifest.end - manifest.first)
    return contents


def leaves_of(archive: Archive, portion: Portion) -> Iterator[tuple[Disclosure, bytes]]:
    """Disclosure and leaf hash of every record. Raises FormatError ``BUNDLE_DIGEST`` or
    ``BUNDLE_LEAVES``."""
    data = archive.listed(portion.leaves)
    if len(data) != LEAF_ENTRY * (portion.end - portion.first):
        raise refusal(
            "BUNDLE_LEAVES", f"{portion.leaves.name} does not have a leaf for each record"
        )
    return iter_leaves(data)


def _record_of(
    seq: int, leaf: bytes, entry: tuple[bytes, bytes, Record] | None, disclosure: Disclosure
) -> Record:
    if entry is None or entry[2].seq != seq:
        found = "nothing" if entry is None else f"record {entry[2].seq}"
        raise refusal("RECORD_SEQUENCE", f"{found} stands where record {seq} belongs")
    salt_p, salt_v, record = entry
    if disclosure is Disclosure.PAYLOAD:
        made = leaf_from_digests(seq, salted_digest(salt_p, record.payload), record.provenance)
    else:
        made = leaf_hash(seq, salt_p, record.payload, salt_v, record.provenance)
    if made != leaf or (salt_v == NO_SALT) != (disclosure is Disclosure.PAYLOAD):
        raise refusal("RECORD_LEAF", f"record {seq} does not make its leaf: it was changed")
    return record


class _Reader:
    """Looks into each record."""

    def __init__(self, manifest: Manifest, history: History, contents: Contents) -> None:
        self._manifest = manifest
        self._history = history
        self._contents = contents
        self._read: dict[Kind, Callable[[Record], None]] = {
            Kind.MINTED: self._see_anchor,
            Kind.RELAYED: self._see_anchor,
            Kind.CHECKPOINT: self._see_checkpoint,
            Kind.BOOT: self._see_boot,
            Kind.KEY: history.see_key,
            Kind.EVIDENCE: history.boots.see_evidence,
            Kind.COUNTER_INTENT: history.counter.see_intent,
            Kind.COUNTER_CERT: history.counter.see_certificate,
            Kind.BASELINE: contents.baselines.see_change,
            Kind.GAP: lambda record: self._contents.gaps.add(record.payload),
        }

    def see(self, record: Record) -> None:
        contents = self._contents
        contents.kinds[record.kind.label] += 1
        earliest, latest = contents.received_ns or (record.received_ns, record.received_ns)
        contents.received_ns = min(earliest, record.received_ns), max(latest, record.received_ns)
        read = self._read.get(record.kind)
        if read is None:
            return
        try:
            read(record)
        except MALFORMED as error:
            raise refusal(
                "RECORD_CONTENT",
                f"record {record.seq} is no {record.kind.label}: {str(error)[:200]}",
            ) from None

    def see_without_sender(self, record: Record) -> None:
        """A relayed record, of whose provenance there is a digest."""
        if record.kind is not Kind.RELAYED or len(record.provenance) != HASH_SIZE:
            raise refusal(
                "RECORD_CONTENT", f"record {record.seq} hides what no export hides of one"
            )
        self._contents.without_sender += 1
        self.see(replace(record, provenance=b"{}"))

    def _see_anchor(self, record: Record) -> None:
        manifest, contents = self._manifest, self._contents
        provenance = _read_provenance(record.provenance)
        recomputed, _ = recompute_fingerprint(record.payload, provenance.tenant, manifest.tenant)
        contents.recomputed += recomputed
        contents.not_recomputed += not recomputed
        payload = msgspec.json.decode(record.payload, type=_Payload)
        applied = provenance.applied_level
        if applied is None:
            applied = payload.clearing_level if record.kind is Kind.MINTED else 0
        if applied < manifest.level:
            self._check_level(record)
        key = payload.procedure_id, provenance.verdict or ""
        if key not in contents.verdicts and len(contents.verdicts) >= _MOST_PROCEDURES:
            key = _OTHERS, ""
        contents.verdicts[key] += 1
        if record.kind is Kind.MINTED:
            contents.baselines.see_verdict(provenance.baseline)
        if provenance.verdict == "FAIL" and len(contents.failures) < _MOST_FAILURES:
            reasons = tuple(code[:64] for code in provenance.reasons[:_MOST_REASONS])
            contents.failures.append(
                Failure(record.seq, payload.procedure_id, record.received_ns, reasons)
            )

    def _check_level(self, record: Record) -> None:
        try:
            witness = strict_json.loads(record.payload, max_bytes=MAX_BODY)
            exceeds = not isinstance(witness, dict) or clear(witness, self._manifest.level)[1]
        except FormatError:
            exceeds = True
        if exceeds:
            raise refusal(
                "CLEARING_LEVEL",
                f"record {record.seq} holds more than may leave at level {self._manifest.level}",
            )

    def _see_checkpoint(self, record: Record) -> None:
        self._history.see_checkpoint(record)
        self._contents.findings.update(_read_provenance(record.provenance).findings)

    def _see_boot(self, record: Record) -> None:
        boot = msgspec.json.decode(record.payload, type=_Boot)
        self._history.see_boot(record)
        self._contents.starts += 1
        self._contents.findings.update(finding.code for finding in boot.findings)


@lru_cache(maxsize=256)  # the records of a batch share theirs
def _read_provenance(provenance: bytes) -> _Provenance:
    return msgspec.json.decode(provenance, type=_Provenance)
