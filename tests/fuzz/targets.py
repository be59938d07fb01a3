"""The parsers that read what comes from outside, and true inputs of each."""

import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swt3_agent.protocol.bundle import Manifest, Tail, decode_text, iter_entries, iter_leaves
from swt3_agent.protocol.checkpoint import parse_signed_note
from swt3_agent.protocol.gaps import parse_gap
from swt3_agent.protocol.note import parse_note
from swt3_agent.protocol.payload import decode_witness
from swt3_agent.protocol.proof import decode_proof
from swt3_agent.protocol.receipts import parse_receipts
from swt3_agent.protocol.record import decode_body
from swt3_agent.protocol.trust import parse_trust
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.nv_public import parse_nv_public
from swt3_agent.tcg.public import parse_key, parse_public, parse_tpmt
from swt3_agent.tcg.signature import tpmt_to_der
from swt3_agent.verify import verify_bundle, verify_proof
from tests.support import forge
from tests.support.forge import WITNESS_SEQ, PaperNode, ak_public, trust_file, witness

VECTORS = Path(__file__).parents[1] / "vectors"
NODE = PaperNode()


@dataclass(frozen=True)
class Target:
    """``parse`` may raise FormatError and nothing else; ``seeds`` it takes without."""

    parse: Callable[[bytes], object]
    seeds: Sequence[bytes]


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


TRUST = trust_file()

TARGETS: Mapping[str, Target] = {
    "attest": Target(parse_attest, [_attest()]),
    "bundle": Target(
        lambda data: verify_bundle(io.BytesIO(data), trust=TRUST, allow_software_tpm=True),
        _bundles(),
    ),
    "entries": Target(lambda data: list(iter_entries(data)), [b""]),
    "gap": Target(
        parse_gap,
        [b'{"dropped":0,"evicted":0,"from_ms":1,"listener":"a","refused":{"BUSY":1},"to_ms":2}'],
    ),
    "leaves": Target(lambda data: list(iter_leaves(data)), _member("data/000000.leaves")),
    "manifest": Target(lambda data: decode_text(data, Manifest), _member("manifest.json")),
    "note": Target(parse_note, [NODE.signed_note()]),
    "nv-public": Target(parse_nv_public, [bytes.fromhex("01800053000b2006001400000008")]),
    "proof": Target(decode_proof, _proofs()),
    "public": Target(parse_public, [forge.sized(ak_public())]),
    "public-key": Target(parse_key, [ak_public()]),
    "receipts": Target(parse_receipts, []),
    "record": Target(decode_body, []),
    "signature": Target(tpmt_to_der, []),
    "signed-note": Target(parse_signed_note, [NODE.signed_note(), NODE.note().body()]),
    "tail": Target(lambda data: decode_text(data, Tail), _member("tail.json")),
    "tpmt-public": Target(parse_tpmt, [ak_public()]),
    "trust": Target(parse_trust, [TRUST]),
    "verify": Target(
        lambda data: verify_proof(data, trust=TRUST, allow_software_tpm=True),
        [*_proofs(), NODE.signed_note()],
    ),
    "witness": Target(decode_witness, [witness(), NODE.records[WITNESS_SEQ][1]]),
}
