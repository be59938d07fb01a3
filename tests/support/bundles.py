"""Bundles of a real node, and what a carrier, or the node itself, could do to them."""

import base64
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swt3_agent.daemon.airgap import close_export
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.operations import operations
from swt3_agent.protocol.bundle import Manifest, encode_text
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.trust import Floors, TpmKind, TrustStatement
from swt3_agent.protocol.ustar import END, member_header, padding
from swt3_agent.store.bundle.build import Plan, write_range
from swt3_agent.store.bundle.writer import BundleWriter
from swt3_agent.store.drafts import Draft
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.journal import Journal
from swt3_agent.verify import BundleReport, enroller_public_key, sign_trust, verify_bundle
from tests.support.anchors import inference_anchor

ENROLLER = Ed25519PrivateKey.from_private_bytes(sha256(b"enroller of bundles").digest())
FOR_EVER = 2**50


def unpack(bundle: bytes) -> dict[str, bytes]:
    """Members by name, read by somebody else's reader."""
    with tarfile.open(fileobj=io.BytesIO(bundle)) as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar.getmembers())
        return {name: file.read() for name, file in files if file is not None}


def pack(members: Mapping[str, bytes]) -> bytes:
    """A bundle of these members, in the order given."""
    return b"".join(map(packed, members, members.values())) + END


def packed(name: str, data: bytes) -> bytes:
    """One member."""
    return member_header(name, len(data)) + data + bytes(padding(len(data)))


def relay(node: Node, count: int, **changes: Any) -> None:
    """Have ``count`` relayed anchors in the node's log."""
    tenant, level = node.config.tenant, node.config.clearing_level
    provenance = {"listener": "intake", "tenant": tenant, "applied_level": level}
    drafts = [
        Draft(
            Kind.RELAYED,
            canonical_json(provenance),
            json.dumps(inference_anchor(tenant, clearing_level=level, **changes)).encode(),
        )
        for _ in range(count)
    ]
    node.journal.append(drafts).result()


def refuse(node: Node) -> None:
    """Have a refused record in the node's log."""
    provenance = canonical_json({"listener": "intake", "code": "BAD_FINGERPRINT", "index": 0})
    node.journal.append([Draft(Kind.QUARANTINE, provenance, b'{"who":"knows"}')]).result()


def export(
    node: Node,
    path: Path,
    first: int | None = None,
    end: int | None = None,
    *,
    ima: bool = False,
) -> bytes:
    """Export as the verb does; the bundle."""
    answers = operations(node)
    plan = msgspec.convert(answers["plan_export"](first=first, end=end, ima=ima), Plan)
    return write_bundle(path, plan, node.journal, node.evidence, answers["close_export"])


def write_bundle(
    path: Path,
    plan: Plan,
    journal: Journal,
    evidence: EvidenceStore,
    close_export: Callable[..., Any],
) -> bytes:
    """The bundle of ``plan``, once ``close_export`` has answered for whose log it is."""
    with BundleWriter(path) as writer:
        manifest = write_range(writer, journal, plan, evidence)
        digest = sha256(manifest).hexdigest()
        closing = close_export(manifest=digest, first=plan.first, end=plan.end)
        writer.add("proof.json", closing["proof"].encode())
        writer.add("tail.json", closing["tail"].encode())
        writer.finish()
    return path.read_bytes()


def rebound(node: Node, members: Mapping[str, bytes], **changes: Any) -> bytes:
    """What root on the node can make of a bundle: members and manifest as he likes, and his log
    saying that this is what was exported."""
    manifest = msgspec.json.decode(members["manifest.json"], type=Manifest)
    listed = [
        msgspec.structs.replace(
            member,
            size=len(members[member.name]),
            sha256=sha256(members[member.name]).hexdigest(),
        )
        for member in manifest.members
        if member.name in members
    ]
    manifest = msgspec.structs.replace(manifest, **{"members": listed, **changes})
    text = encode_text(manifest)
    closing = close_export(node, sha256(text).hexdigest(), manifest.first, manifest.end)
    return pack(
        {
            **members,
            "manifest.json": text,
            "proof.json": closing["proof"].encode(),
            "tail.json": closing["tail"].encode(),
        }
    )


def trust_in(node: Node, floors: Floors | None = None) -> bytes:
    """A trust file of somebody who enrolled the node's software TPM."""
    key = node.journal.read(node.catalogue.records_of(Kind.KEY)[-1]).payload
    statement = TrustStatement(
        enroller="enroller.example",
        enroller_key=enroller_public_key(ENROLLER),
        node_id=node.node_id,
        log_id=node.log_id,
        ak_public=base64.b64decode(json.loads(key)["ak_public"]),
        tpm=TpmKind.SOFTWARE,
        log_pcr=node.config.tpm.log_pcr,
        valid_from_ms=0,
        valid_until_ms=FOR_EVER,
        floors=floors,
    )
    return sign_trust(statement.body(), ENROLLER)


def judged(
    bundle: bytes, trust: bytes | None, *, software: bool = True, reference: bytes | None = None
) -> BundleReport:
    """What the verifier says, with everything allowed that a test needs."""
    return verify_bundle(
        io.BytesIO(bundle), trust=trust, allow_software_tpm=software, reference=reference
    )
