"""A node of paper whose whole log is exported: a bundle in which anything can be wrong.

Signed with the key of ``forge``, byte for byte the same each time. Nothing is compressed: one frame
of raw Zstandard blocks says the same in every version of the library.
"""

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from swt3_agent.protocol.bundle import (
    BUNDLE_FORMAT,
    Disclosure,
    Head,
    HeadQuoteText,
    Manifest,
    Member,
    Tail,
    encode_leaf,
    encode_text,
    entries_name,
    leaves_name,
)
from swt3_agent.protocol.bundle_evidence import BootInfo, SuccessionInfo, log_name
from swt3_agent.protocol.checkpoint import CheckpointNote, extended, signed_note
from swt3_agent.protocol.log_tree import (
    consistency_path,
    inclusion_path,
    leaf_hashes,
    salts,
    tree_root,
)
from swt3_agent.protocol.proof import Proof, ProvenRecord, QuoteContext, Salted, encode_proof
from swt3_agent.protocol.record import Kind, Record, encode_record
from swt3_agent.protocol.ustar import END, member_header, padding
from tests.support.forge import (
    LOG_ID,
    NODE_ID,
    SEGMENT_KEY,
    TENANT,
    PaperNode,
    Quote,
    ak_public,
    sign,
    spki,
    trust_file,
)
from tests.support.paper_heads import INDEX, Paper

OWN = b'{"listener":"agent"}'
LOG_PCR = 13
_BLOCK = 128 * 1024


@dataclass
class PaperLog(Paper):
    """A log that grows record by record; ``bundle`` exports all of it."""

    records: list[Record] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    keys: list[ec.EllipticCurvePrivateKey] = field(default_factory=list)
    attachments: dict[str, bytes] = field(default_factory=dict)

    def append(self, kind: Kind, content: object, provenance: bytes = OWN) -> int:
        """A record of the agent; its number."""
        payload = content if isinstance(content, bytes) else _json(content)
        seq = len(self.records)
        self.records.append(Record(seq, kind, 0, self.utc_ms * 10**6, provenance, payload))
        return seq

    def start(self, **content: object) -> int:
        """A boot record of this boot."""
        return self.append(Kind.BOOT, {"boot_id": self.boot, **content})

    def head(
        self,
        *,
        signed: bool = True,
        extends: bool = True,
        recorded: bool = True,
        note: Mapping[str, Any] | None = None,
        quote: Quote | None = None,
    ) -> Head:
        """The next head, over all records. ``note`` and ``quote`` replace what they say;
        ``recorded``: it goes into the log."""
        leaves = self.leaves()
        made = CheckpointNote(
            NODE_ID,
            LOG_ID,
            len(leaves),
            tree_root(leaves),
            self.utc_ms,
            self.boot,
            self.previous,
            self.counter,
        )
        made = replace(made, **(note or {}))
        body, before = made.body(), self.value
        if recorded:
            self.note, self.previous = made, made.digest()
        if extends:
            self.value = extended(before, body)
        pcrs = {**self.pcrs, LOG_PCR: self.value}
        self.clock_ms += 10_000
        self.utc_ms += 10_000
        said = quote or Quote()
        said = replace(said, clock_ms=self.clock_ms, resets=self.resets, restarts=self.restarts)
        attest = said.attest(body, pcrs)
        text = signed_note(body, attest, sign(self.key, attest), spki(self.key)).decode()
        values = {str(index): value.hex() for index, value in pcrs.items()}
        if not recorded:
            return Head(len(leaves), text, HeadQuoteText(before.hex(), values))
        seq = self.append(Kind.CHECKPOINT, {"body": body.decode()})
        head = Head(seq, body.decode())
        if signed:
            content = {"note": text, "of": seq, "before": before.hex(), "pcrs": values}
            self.append(Kind.CHECKPOINT, content)
            head = Head(seq, text, HeadQuoteText(before.hex(), values))
        self.heads.append(head)
        return head

    def step(self, value: int, **changes: Any) -> None:
        """A whole step of the counter, from ``value``; ``changes`` as ``certificate`` takes."""
        intent, head = self.begin_step(value, **changes)
        self.certify("after", intent, head, value + 1, **changes)

    def begin_step(self, value: int, **changes: Any) -> tuple[int, Head]:
        """A step as far as its certificate before."""
        intent = self.announce(value + 1)
        head = self.head()
        self.certify("before", intent, head, value, **changes)
        return intent, head

    def announce(self, value: int, index: int = INDEX) -> int:
        """A counter-intent record."""
        content = {"value": value, "reason": "cycle", "index": f"{index:08x}"}
        return self.append(Kind.COUNTER_INTENT, content)

    def certify(self, phase: str, intent: int, head: Head, value: int, **changes: Any) -> int:
        """A counter-cert record."""
        made = self.certificate(phase, intent, head, value, **changes)
        self.counter = value
        return self.append(made.kind, made.payload)

    def read_platform(self, **changes: object) -> int:
        """An evidence record with a quote of the platform; ``changes`` replace its members, those
        named after an attachment are the attachment."""
        nonce = sha256(b"nonce").digest()[:20]
        said = replace(Quote(), clock_ms=self.clock_ms, resets=self.resets, extra=nonce)
        attest = said.attest(b"", self.pcrs)
        name = "000b" + sha256(ak_public(self.key)).hexdigest()
        content = {
            "nonce": nonce.hex(),
            "attest": base64.b64encode(attest).decode(),
            "signature": base64.b64encode(sign(self.key, attest)).decode(),
            "pcrs": {str(index): value.hex() for index, value in sorted(self.pcrs.items())},
            "ak_name": name,
        }
        data: dict[str, bytes] = {}
        for kind in ("quote", "boot-log", "ima-log"):
            given = changes.pop(kind, None)
            if isinstance(given, bytes):
                data[kind] = given
        data.setdefault("quote", _json({**content, **changes}))
        named = {}
        for kind, attached in data.items():
            digest = sha256(attached).hexdigest()
            self.attachments[log_name(digest, kind)] = attached
            named[kind] = {"digest": digest, "size": len(attached)}
        stated = {"ima_log": {"offset": 0, "entries": 1}}
        evidence = {"collector": "platform", "attachments": named, "stated": stated}
        return self.append(Kind.EVIDENCE, evidence)

    def leaves(self) -> list[bytes]:
        """Leaf hashes of all records."""
        return leaf_hashes(SEGMENT_KEY, 0, [(r.provenance, r.payload) for r in self.records])

    def bundle(
        self,
        *,
        boots: Sequence[BootInfo] = (),
        successions: Sequence[SuccessionInfo] = (),
        **changes: Any,
    ) -> bytes:
        """All records, under a head that covers the record of their export. ``changes`` replace
        members of the manifest."""
        leaves = self.leaves()
        size, root = len(leaves), tree_root(leaves).hex()
        members = self.portion(leaves)
        portions = [_member(name, data, size) for name, data in members.items()]
        logs = dict(sorted(self.attachments.items()))
        kinds: dict[str, int] = {}
        for record in self.records:
            kinds[record.kind.label] = kinds.get(record.kind.label, 0) + 1
        manifest = Manifest(
            format=BUNDLE_FORMAT,
            agent_version="0",
            node_id=NODE_ID,
            log_id=LOG_ID,
            tenant=TENANT,
            level=0,
            made_ms=self.utc_ms,
            first=0,
            end=size,
            root=root,
            peaks=[],
            members=[*portions, *(_member(name, data) for name, data in logs.items())],
            kinds=kinds,
            withheld={},
            collectors=[],
            listeners={},
            omitted=[],
            keys=[base64.b64encode(ak_public(key)).decode() for key in self.keys or [self.key]],
            log_pcr=LOG_PCR,
            boots=list(boots),
            successions=list(successions),
        )
        text = encode_text(manifest)
        for name, value in changes.items():
            text = encode_text(_replaced(manifest, name, value))
            manifest = _replaced(manifest, name, value)
        export = {"manifest": sha256(text).hexdigest(), "first": 0, "end": size, "root": root}
        seq = self.append(Kind.EVIDENCE, export, _json({"listener": "agent", "phase": "export"}))
        closing = self.head()
        grown = self.leaves()[: seq + 1]
        tail = Tail(
            format=BUNDLE_FORMAT,
            heads=[closing],
            consistency=[node.hex() for node in consistency_path(grown, size)],
        )
        files = {
            **members,
            **logs,
            "manifest.json": text,
            "proof.json": encode_proof(self._proof(seq, closing, grown)),
            "tail.json": encode_text(tail),
        }
        packed = (member_header(n, len(d)) + d + bytes(padding(len(d))) for n, d in files.items())
        return b"".join(packed) + END

    def portion(self, leaves: Sequence[bytes]) -> dict[str, bytes]:
        """The members that hold the records."""
        disclosed = b"".join(encode_leaf(Disclosure.SHOWN, leaf) for leaf in leaves)
        entries = b"".join(map(entry, self.records))
        return {entries_name(0): frame(entries), leaves_name(0): disclosed}

    def _proof(self, seq: int, closing: Head, leaves: list[bytes]) -> Proof:
        salt_p, salt_v = salts(SEGMENT_KEY, seq)
        record = self.records[seq]
        assert closing.quote is not None
        quoted = {int(index): bytes.fromhex(v) for index, v in closing.quote.pcrs.items()}
        return Proof(
            node_id=NODE_ID,
            log_id=LOG_ID,
            record=ProvenRecord(
                seq,
                leaves[seq],
                Salted(salt_p, record.payload),
                Salted(salt_v, record.provenance),
            ),
            inclusion=tuple(inclusion_path(leaves, seq)),
            note=closing.checkpoint.encode(),
            quote=QuoteContext(
                ak_public(self.key), LOG_PCR, bytes.fromhex(closing.quote.before), quoted
            ),
        )


def entry(record: Record) -> bytes:
    """A record among the entries of a portion."""
    return b"".join(salts(SEGMENT_KEY, record.seq)) + encode_record(record)


def trust_in(**changes: Any) -> bytes:
    """A trust file for every log made here, for ever."""
    changes = {"floors": None, "valid_until_ms": 2**50, **changes}
    return trust_file(PaperNode(), **changes)


def _replaced(manifest: Manifest, name: str, value: object) -> Manifest:
    fields = {field: getattr(manifest, field) for field in manifest.__struct_fields__}
    return Manifest(**{**fields, name: value})


def _member(name: str, data: bytes, end: int = 0) -> Member:
    return Member(name, len(data), sha256(data).hexdigest(), 0, end)


def _json(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def frame(data: bytes) -> bytes:
    """RFC 8878: a frame with its content size and raw blocks."""
    blocks = [data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK)]
    parts = [b"\x28\xb5\x2f\xfd\xa0", struct.pack("<I", len(data))]
    for place, block in enumerate(blocks, 1):
        head = len(block) << 3 | (place == len(blocks))
        parts += [head.to_bytes(3, "little"), block]
    return b"".join(parts)
