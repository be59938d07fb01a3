"""The parsers that read what comes from outside, and true inputs of each."""

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from swt3_agent.protocol.bundle import (
    BUNDLE_FORMAT,
    Manifest,
    Member,
    Tail,
    decode_text,
    encode_text,
    iter_entries,
    iter_leaves,
)
from swt3_agent.protocol.bundle_evidence import SuccessionInfo
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.checkpoint import parse_signed_note
from swt3_agent.protocol.gaps import parse_gap
from swt3_agent.protocol.note import parse_note
from swt3_agent.protocol.payload import decode_witness
from swt3_agent.protocol.proof import decode_proof, encode_proof
from swt3_agent.protocol.trust import parse_trust
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.nv_public import parse_nv_public
from swt3_agent.tcg.public import parse_key, parse_public, parse_tpmt
from swt3_agent.verify import verify_bundle, verify_proof
from swt3_agent.verify.bundle.archive import decompress
from tests.fuzz import boot_targets, bundle_targets, enrolment_targets, verifier_targets
from tests.fuzz.target import Target
from tests.support import forge
from tests.support.forge import WITNESS_SEQ, PaperNode, ak_public, trust_file, witness

VECTORS = Path(__file__).parents[1] / "vectors"
NODE = PaperNode()


def _attest() -> bytes:
    body = NODE.note().body()
    return NODE.quote.attest(body, NODE.pcrs(body))


def _member(name: str) -> list[bytes]:
    return [_extracted(path, name) for path in sorted(VECTORS.glob("bundle-*/*.tar"))]


def _extracted(path: Path, name: str) -> bytes:
    with tarfile.open(path) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def _bundles() -> list[bytes]:
    return [path.read_bytes() for path in sorted(VECTORS.glob("bundle-*/*.tar"))]


def _proofs() -> list[bytes]:
    return [
        path.read_bytes()
        for path in sorted(VECTORS.glob("proof-*/*.json"))
        if path.name != "cases.json"
    ]


def _entries() -> list[bytes]:
    return [decompress(ENTRIES, data) for data in _member(ENTRIES.name)]


def _newer_manifest() -> bytes:
    """What came with the second format, in a manifest of the first."""
    manifest = json.loads(_member("manifest.json")[0])
    link = {"ak_public": "AA==", "attest": "AA==", "signature": "AA=="}
    manifest |= {
        "format": BUNDLE_FORMAT,
        "boots": [{"boot_id": forge.BOOT_ID, "readings": [3, 9], "ima_log": [9]}],
        "earlier": [{"entry": "AA==", "inclusion": ["11" * 32]}],
        "successions": [link],
    }
    return encode_text(decode_text(canonical_json(manifest) + b"\n", Manifest))


ENTRIES = Member("data/000000.entries.zst", 0, "", 0, 0)
TRUST = trust_file()
TRUST_2 = trust_file(
    ek_certified=True,
    ek_root_sha256=bytes(32),
    counter_index=0x01800053,
    counter_name=b"\x00\x0b" + bytes(32),
)
PROOF_2 = encode_proof(
    replace(
        NODE.proof(WITNESS_SEQ),
        previous=NODE.head_before(3),
        successions=(SuccessionInfo("AA==", "AA==", "AA=="),),
    )
)

TARGETS: Mapping[str, Target] = {
    "attest": Target(parse_attest, [_attest()]),
    "bundle": Target(
        lambda data: verify_bundle(io.BytesIO(data), trust=TRUST, allow_software_tpm=True),
        _bundles(),
    ),
    "entries": Target(lambda data: list(iter_entries(data)), _entries()),
    "entries-compressed": Target(
        lambda data: list(iter_entries(decompress(ENTRIES, data))), _member(ENTRIES.name)
    ),
    "gap": Target(
        parse_gap,
        [b'{"dropped":0,"evicted":0,"from_ms":1,"listener":"a","refused":{"BUSY":1},"to_ms":2}'],
    ),
    "leaves": Target(lambda data: list(iter_leaves(data)), _member("data/000000.leaves")),
    "manifest": Target(
        lambda data: decode_text(data, Manifest), [*_member("manifest.json"), _newer_manifest()]
    ),
    "note": Target(parse_note, [NODE.signed_note()]),
    "nv-public": Target(parse_nv_public, [bytes.fromhex("01800053000b2006001400000008")]),
    "proof": Target(decode_proof, [*_proofs(), PROOF_2]),
    "public": Target(parse_public, [forge.sized(ak_public())]),
    "public-key": Target(parse_key, [ak_public()]),
    "signed-note": Target(parse_signed_note, [NODE.signed_note(), NODE.note().body()]),
    "tail": Target(lambda data: decode_text(data, Tail), _member("tail.json")),
    "tpmt-public": Target(parse_tpmt, [ak_public()]),
    "trust": Target(parse_trust, [TRUST, TRUST_2]),
    "verify": Target(
        lambda data: verify_proof(data, trust=TRUST, allow_software_tpm=True),
        [*_proofs(), PROOF_2, NODE.signed_note()],
    ),
    "witness": Target(decode_witness, [witness(), NODE.records[WITNESS_SEQ][1]]),
    **boot_targets.TARGETS,
    **bundle_targets.TARGETS,
    **enrolment_targets.TARGETS,
    **verifier_targets.TARGETS,
}
