"""What the catalogue keeps of one segment, built in memory from its records."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.checkpoint import parse_body
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.frames import RecordSlice
from swt3_agent.store.segment_file import SEGMENT_RECORDS

BUCKETS = 256
_OFFSET_BITS = SEGMENT_RECORDS.bit_length() - 1
_BUCKET_SHIFT = 40  # of 48 bits of fingerprint the first eight choose the bucket
_ANCHORS = frozenset({int(Kind.MINTED), int(Kind.RELAYED)})
_CHECKPOINT, _EVIDENCE = int(Kind.CHECKPOINT), int(Kind.EVIDENCE)
FREQUENT = frozenset({int(Kind.RELAYED), int(Kind.OPAQUE)})
"""Kinds of which inference processes send millions; where all others lie is listed."""
MAX_INTEGER = 2**63 - 1


class Provenance(msgspec.Struct, frozen=True, gc=False):
    """What the catalogue reads of a record's provenance."""

    tenant: str = ""
    client: str | None = None
    batch: int | None = None
    verdict: str = ""
    phase: str = ""

    @property
    def batch_key(self) -> tuple[str, int] | None:
        """Producer and batch, where the record came in one."""
        if self.client is None or self.batch is None or abs(self.batch) > MAX_INTEGER:
            return None
        return producer(self.tenant, self.client), self.batch


class _Anchor(msgspec.Struct, gc=False):
    procedure_id: str = ""
    anchor_fingerprint: str = ""


class _EvidencePayload(msgspec.Struct, gc=False):
    collector: str = ""


class _CheckpointPayload(msgspec.Struct, gc=False):
    body: str = ""
    of: int = -1


_NOTHING = Provenance()
_decode_provenance = msgspec.json.Decoder(Provenance).decode
_decode_anchor = msgspec.json.Decoder(_Anchor).decode
_decode_evidence = msgspec.json.Decoder(_EvidencePayload).decode
_decode_checkpoint = msgspec.json.Decoder(_CheckpointPayload).decode


def read_provenance(provenance: bytes) -> Provenance:
    """The fields of ``provenance`` that are indexed; defaults where it cannot be read."""
    try:
        return _decode_provenance(provenance)
    except MALFORMED:
        return _NOTHING


def producer(tenant: str, client: str) -> str:
    """Whose batches are numbered together: clients of two tenants may have the same name."""
    return f"{tenant}:{client}"  # a tenant has no colon (docs/protocol.md 1.4)


class SegmentIndex:
    """Index over the records of one segment so far; ``next_seq`` is the one it waits for."""

    def __init__(self, number: int, next_seq: int) -> None:
        self.number = number
        self.next_seq = next_seq
        self.fingerprints: list[list[int]] = [[] for _ in range(BUCKETS)]
        """For each bucket: fingerprint << 16 | offset of the record in the segment."""
        self.batches: dict[tuple[str, int], tuple[int, int]] = {}
        """(producer, batch): records [first, end)."""
        self.last_batches: dict[str, int] = {}
        """producer: its highest batch."""
        self.notes: dict[int, int] = {}
        """Checkpoint notes: seq, and the size that they state."""
        self.quotes: list[tuple[int, int]] = []
        """Quotes: seq of the note, and their own."""
        self.kinds: Counter[int] = Counter()
        self.last_of_kind: dict[int, int] = {}
        self.verdicts: Counter[tuple[str, str, str]] = Counter()
        """(tenant, procedure, verdict): how many anchors; of relayed ones the verdict is empty."""
        self.last_of_verdict: dict[tuple[str, str, str], int] = {}
        self.rare: dict[tuple[int, str], array[int]] = {}
        """(kind, ""): offsets in the segment of all its records, for kinds that are not
        ``FREQUENT``; (evidence, collector): of those that this collector brought."""

    @property
    def is_full(self) -> bool:
        return self.next_seq == (self.number + 1) * SEGMENT_RECORDS

    def add(self, records: RecordSlice) -> None:
        """Index the next records of the segment; what cannot be read is counted by kind only."""
        kinds = bytes(records.kinds)
        for kind in set(kinds):
            self.kinds[kind] += kinds.count(kind)
            self.last_of_kind[kind] = records.first_seq + kinds.rindex(kind)
            if kind not in FREQUENT:
                self._add_rare(kind, kinds, records)
        start = 0
        for source, stop in _runs(records.contents):
            self._add_batch(source.batch_key, records.first_seq + start, records.first_seq + stop)
            if _CHECKPOINT in kinds[start:stop]:
                self._add_checkpoints(records, start, stop, source.phase)
            self._add_anchors(records, start, stop, source)
            start = stop
        self.next_seq = records.end_seq

    def find_fingerprint(self, fingerprint: int) -> list[int]:
        """Sequence numbers of the anchors that bear ``fingerprint``."""
        first_seq = self.number * SEGMENT_RECORDS
        return [
            first_seq + offset_of(entry)
            for entry in self.fingerprints[bucket_of(fingerprint)]
            if entry >> _OFFSET_BITS == fingerprint
        ]

    def records_of(self, kind: int, collector: str = "") -> list[int]:
        """Sequence numbers of the records of ``kind``, which is none of ``FREQUENT``, in order."""
        return absolute(self.number, self.rare.get((kind, collector), ()))

    def _add_anchors(self, records: RecordSlice, start: int, stop: int, source: Provenance) -> None:
        """Every anchor passes here: one tight loop."""
        fingerprints, decode = self.fingerprints, _decode_anchor
        procedures: list[str] = []
        last_place: dict[str, int] = {}
        offset = offset_of(records.first_seq)
        for place in range(start, stop):
            if records.kinds[place] not in _ANCHORS:
                continue
            try:
                anchor = decode(records.contents[place][1])
                fingerprint = int(anchor.anchor_fingerprint, 16)
            except MALFORMED:
                continue
            if len(anchor.anchor_fingerprint) == 12:
                entry = fingerprint << _OFFSET_BITS | offset + place
                fingerprints[fingerprint >> _BUCKET_SHIFT].append(entry)
            procedures.append(anchor.procedure_id)
            last_place[anchor.procedure_id] = place
        for procedure, count in Counter(procedures).items():
            key = source.tenant, procedure, source.verdict
            self.verdicts[key] += count
            self.last_of_verdict[key] = records.first_seq + last_place[procedure]

    def _add_rare(self, kind: int, kinds: bytes, records: RecordSlice) -> None:
        offset = offset_of(records.first_seq)
        place = kinds.find(kind)
        while place >= 0:
            self.rare.setdefault((kind, ""), array("H")).append(offset + place)
            if kind == _EVIDENCE and (collector := _collector_of(records.contents[place][1])):
                self.rare.setdefault((kind, collector), array("H")).append(offset + place)
            place = kinds.find(kind, place + 1)

    def _add_batch(self, key: tuple[str, int] | None, first: int, end: int) -> None:
        if key is not None:
            self.batches[key] = merge_run(self.batches.get(key), first, end)
            client, batch = key
            self.last_batches[client] = max(batch, self.last_batches.get(client, batch))

    def _add_checkpoints(self, records: RecordSlice, start: int, stop: int, phase: str) -> None:
        for place in range(start, stop):
            if records.kinds[place] != _CHECKPOINT:
                continue
            seq = records.first_seq + place
            try:
                checkpoint = _decode_checkpoint(records.contents[place][1])
                if phase == "note":
                    self.notes[seq] = parse_body(checkpoint.body.encode()).size
                elif phase == "quote":
                    self.quotes.append((checkpoint.of, seq))
            except (FormatError, *MALFORMED):
                continue


def _collector_of(payload: bytes) -> str:
    try:
        return _decode_evidence(payload).collector
    except MALFORMED:
        return ""


def _runs(contents: list[tuple[bytes, bytes]]) -> Iterator[tuple[Provenance, int]]:
    """Provenance, and the place after its last record, for each run of records that share it."""
    place = 0
    for provenance, run in groupby(contents, itemgetter(0)):
        place += len(list(run))
        yield read_provenance(provenance), place


def bucket_of(fingerprint: int) -> int:
    """The bucket of a fingerprint of 48 bits."""
    return fingerprint >> _BUCKET_SHIFT


def offset_of(entry: int) -> int:
    """Where in its segment the record of ``entry`` is."""
    return entry & (SEGMENT_RECORDS - 1)


def absolute(segment: int, offsets: Iterable[int]) -> list[int]:
    """Sequence numbers of the records at ``offsets`` of a segment."""
    first_seq = segment * SEGMENT_RECORDS
    return [first_seq + offset for offset in offsets]


def entries_of(fingerprint: int) -> tuple[int, int]:
    """Smallest entry of ``fingerprint`` and smallest entry after it."""
    return fingerprint << _OFFSET_BITS, (fingerprint + 1) << _OFFSET_BITS


def merge_run(run: tuple[int, int] | None, first: int, end: int) -> tuple[int, int]:
    """``run`` with the records [first, end) where they go on from it.

    A batch lies in one run, for it is appended at once. What says otherwise was not written by an
    intake that knows repeats, and the first run stands.
    """
    if run is None:
        return first, end
    if run[0] <= first <= run[1]:
        return run[0], max(run[1], end)
    return run
