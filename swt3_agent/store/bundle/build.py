"""Going through the journal once: entries, leaves, sums, and the manifest over them."""

import base64
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import msgspec
import zstandard

from swt3_agent.errors import JournalError
from swt3_agent.protocol.bundle import (
    BOOT_HEADS,
    BUNDLE_FORMAT,
    MANIFEST,
    MAX_PORTION,
    NO_SALT,
    CollectorInfo,
    Disclosure,
    Head,
    ListenerInfo,
    Manifest,
    Member,
    Omission,
    encode_leaf,
    encode_text,
    entries_name,
    leaves_name,
)
from swt3_agent.protocol.bundle_evidence import BootInfo, EarlierRecord, SuccessionInfo
from swt3_agent.protocol.compact_range import CompactRange
from swt3_agent.protocol.gaps import GapSums
from swt3_agent.protocol.log_tree import leaf_hash, salted_digest, salts
from swt3_agent.protocol.record import Kind, Record, encode_record
from swt3_agent.store.bundle.boots import LogFile
from swt3_agent.store.bundle.disclosure import disclosure_of
from swt3_agent.store.bundle.logs import write_logs
from swt3_agent.store.bundle.writer import BundleWriter
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.journal import Journal

Progress = Callable[[int, int], None]
"""Called now and then with records done and records in all."""

OMITTED = (Omission("raw evidence", "evidence records name it by digest; it stays on the node"),)

_LEVEL = 3
_PORTION_BYTES = 8 * 1024 * 1024  # and the record that makes it more


class Plan(msgspec.Struct, frozen=True):
    """What the node says before its journal is gone through; see ``bundle.Manifest``."""

    agent_version: str
    node_id: str
    log_id: str
    tenant: str
    level: int
    made_ms: int
    first: int
    end: int
    root: str
    peaks: list[str]
    collectors: list[CollectorInfo]
    boot_heads: str  # Base 64
    keys: list[str]
    log_pcr: int | None
    previous: Head | None
    earlier: list[EarlierRecord] = []
    boots: list[BootInfo] = []
    successions: list[SuccessionInfo] = []
    logs: list[LogFile] = []
    without_ima: list[str] = []  # boots


def write_range(
    writer: BundleWriter,
    journal: Journal,
    plan: Plan,
    evidence: EvidenceStore,
    progress: Progress = lambda _done, _total: None,
) -> bytes:
    """Write the members up to the manifest, and return the manifest; logs come from ``evidence``.

    Needs memory for one portion. Raises AgentError as the writer does; JournalError
    ``LOG_ROOT_MISMATCH`` where the journal is not what the plan says, and what reading it raises.
    """
    members: list[Member] = []
    if boot_heads := base64.b64decode(plan.boot_heads):
        members.append(writer.add(BOOT_HEADS, boot_heads))
    tree = CompactRange(plan.first, [bytes.fromhex(peak) for peak in plan.peaks])
    portions = _Portions(writer, plan)
    for record in journal.scan(plan.first, plan.end):
        portions.add(record, journal.segment_key(record.seq), tree)
        if portions.is_full:
            members += portions.write()
            progress(record.seq + 1 - plan.first, plan.end - plan.first)
    members += portions.write()
    if (tree.size, tree.root().hex()) != (plan.end, plan.root):
        raise JournalError(
            "LOG_ROOT_MISMATCH",
            f"records {plan.first} to {plan.end} do not give the root that the agent states",
            remedy="run `swt3-agent fsck`",
        )
    logs, omitted = write_logs(writer, evidence, plan.logs)
    members += logs
    manifest = encode_text(_manifest(plan, members, portions, omitted))
    writer.add(MANIFEST, manifest)
    return manifest


class _Portions:
    """The portion that grows, and sums over all of them."""

    def __init__(self, writer: BundleWriter, plan: Plan) -> None:
        self.kinds: Counter[str] = Counter()
        self.withheld: Counter[str] = Counter()
        self.gaps = GapSums()
        self._writer, self._plan = writer, plan
        self._compressor = zstandard.ZstdCompressor(
            level=_LEVEL, write_checksum=True, write_content_size=True
        )
        self._number = 0
        self._first = self._next = plan.first
        self._entries = bytearray()
        self._leaves = bytearray()

    @property
    def is_full(self) -> bool:
        """Whether another record might not fit."""
        return self._next - self._first == MAX_PORTION or len(self._entries) >= _PORTION_BYTES

    def add(self, record: Record, segment_key: bytes, tree: CompactRange) -> None:
        salt_p, salt_v = salts(segment_key, record.seq)
        leaf = leaf_hash(record.seq, salt_p, record.payload, salt_v, record.provenance)
        tree.add(leaf)
        disclosure = disclosure_of(record, self._plan.tenant, self._plan.level)
        if disclosure is Disclosure.SHOWN:
            self._entries += salt_p + salt_v + encode_record(record)
        elif disclosure is Disclosure.PAYLOAD:
            hidden = replace(record, provenance=salted_digest(salt_v, record.provenance))
            self._entries += salt_p + NO_SALT + encode_record(hidden)
        else:
            self.withheld[disclosure.label] += 1
        self._leaves += encode_leaf(disclosure, leaf)
        self.kinds[record.kind.label] += 1
        if record.kind is Kind.GAP:
            self.gaps.add(record.payload)
        self._next = record.seq + 1

    def write(self) -> list[Member]:
        """Write what there is as one portion."""
        if self._next == self._first:
            return []
        run = self._first, self._next
        entries = self._compressor.compress(bytes(self._entries))
        members = [
            self._writer.add(entries_name(self._number), entries, *run),
            self._writer.add(leaves_name(self._number), bytes(self._leaves), *run),
        ]
        self._number += 1
        self._first = self._next
        self._entries.clear()
        self._leaves.clear()
        return members


def _manifest(
    plan: Plan, members: list[Member], portions: _Portions, omitted: list[Omission]
) -> Manifest:
    return Manifest(
        format=BUNDLE_FORMAT,
        agent_version=plan.agent_version,
        node_id=plan.node_id,
        log_id=plan.log_id,
        tenant=plan.tenant,
        level=plan.level,
        made_ms=plan.made_ms,
        first=plan.first,
        end=plan.end,
        root=plan.root,
        peaks=plan.peaks,
        members=members,
        kinds=dict(portions.kinds),
        withheld=dict(portions.withheld),
        collectors=plan.collectors,
        listeners={
            name: ListenerInfo(dict(sums.refused), sums.dropped, sums.evicted, sums.gaps)
            for name, sums in portions.gaps.by_listener.items()
        },
        omitted=[*OMITTED, *_without_ima(plan), *omitted],
        keys=plan.keys,
        log_pcr=plan.log_pcr,
        previous=plan.previous,
        earlier=plan.earlier,
        boots=plan.boots,
        successions=plan.successions,
    )


def _without_ima(plan: Plan) -> list[Omission]:
    if not plan.without_ima:
        return []
    return [Omission("IMA logs", "they name files; `export --ima` takes them along")]
