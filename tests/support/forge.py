"""A node made of paper: logs, heads, quotes and proofs, right or wrong in any chosen place.

A test-side fake below the verifier's seam: a P-256 key held in Python signs TPMS_ATTEST structures
that are built by hand, as no TPM would sign them. It shares no code with the agent that makes
real ones, except for the encoders of notes and proofs.
"""

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swt3_agent.protocol.checkpoint import CheckpointNote, signed_note
from swt3_agent.protocol.fingerprint import mint_fingerprint
from swt3_agent.protocol.log_tree import (
    consistency_path,
    inclusion_path,
    leaf_hashes,
    salts,
    tree_root,
)
from swt3_agent.protocol.proof import PreviousHead, Proof, ProvenRecord, QuoteContext, Salted
from swt3_agent.protocol.trust import Floors, TpmKind, TrustStatement
from swt3_agent.verify import enroller_public_key, sign_trust

NODE_ID = "ab" * 16
LOG_ID = "cd" * 16
BOOT_ID = "b3b5e9f2-1d1c-4f7e-9a54-0a1b2c3d4e5f"
UTC_MS = 1_785_000_000_000
TENANT = "ENCLAVE_PROD"
SEGMENT_KEY = sha256(b"segment key").digest()
BOOT_PCRS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14)

SHA1, SHA256, SHA384, NULL, ECDSA, ECSCHNORR, ECC = 0x04, 0x0B, 0x0C, 0x10, 0x18, 0x1C, 0x23
NIST_P256 = 0x0003
FIXED_TPM, FIXED_PARENT, DATA_ORIGIN, USER_WITH_AUTH = 1 << 1, 1 << 4, 1 << 5, 1 << 6
NO_DA, RESTRICTED, DECRYPT, SIGN = 1 << 10, 1 << 16, 1 << 17, 1 << 18
AK_ATTRIBUTES = FIXED_TPM | FIXED_PARENT | DATA_ORIGIN | USER_WITH_AUTH | NO_DA | RESTRICTED | SIGN

AK = ec.derive_private_key(0x5157_5433, ec.SECP256R1())
OTHER_AK = ec.derive_private_key(0x6F74_6865, ec.SECP256R1())
ENROLLER = Ed25519PrivateKey.from_private_bytes(sha256(b"enroller").digest())
OTHER_ENROLLER = Ed25519PrivateKey.from_private_bytes(sha256(b"another enroller").digest())


def sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def ak_public(
    key: ec.EllipticCurvePrivateKey = AK,
    *,
    attributes: int = AK_ATTRIBUTES,
    name_alg: int = SHA256,
    scheme: bytes = struct.pack(">HH", ECDSA, SHA256),
    curve: int = NIST_P256,
    y_shift: int = 0,
) -> bytes:
    """TPMT_PUBLIC of an ECC key (TPM 2.0 Part 2, 12.2.4)."""
    numbers = key.public_key().public_numbers()
    return (
        struct.pack(">HHI", ECC, name_alg, attributes)
        + sized(b"")
        + struct.pack(">H", NULL)
        + scheme
        + struct.pack(">HH", curve, NULL)
        + sized(numbers.x.to_bytes(32, "big"))
        + sized((numbers.y + y_shift).to_bytes(32, "big"))
    )


def selection(indices: Iterable[int], bank: int = SHA256) -> bytes:
    """TPML_PCR_SELECTION with one bank."""
    bits = sum(1 << index for index in indices)
    return struct.pack(">IHB", 1, bank, 3) + bits.to_bytes(3, "little")


@dataclass(frozen=True)
class Quote:
    """A TPMS_ATTEST before it is signed; ``None`` means: what an honest TPM would say."""

    magic: bytes = b"\xffTCG"
    type: int = 0x8018
    signer: bytes = b"\x00\x0b" + bytes(32)
    extra: bytes | None = None
    clock_ms: int = 5_000_000
    resets: int = 7
    restarts: int = 0
    safe: int = 1
    selection: bytes | None = None
    digest: bytes | None = None
    info: bytes | None = None
    trailing: bytes = b""

    def attest(self, body: bytes, pcrs: Mapping[int, bytes]) -> bytes:
        extra = self.extra
        if extra is None:
            extra = sha256(b"swt3-agent:v1:checkpoint:" + body).digest()
        info = self.info
        if info is None:
            chosen = selection(pcrs) if self.selection is None else self.selection
            digest = self.digest
            if digest is None:
                digest = sha256(b"".join(pcrs[index] for index in sorted(pcrs))).digest()
            info = chosen + sized(digest)
        clock = struct.pack(">QIIBQ", self.clock_ms, self.resets, self.restarts, self.safe, 1)
        head = self.magic + struct.pack(">H", self.type)
        return head + sized(self.signer) + sized(extra) + clock + info + self.trailing


@dataclass(frozen=True)
class PaperNode:
    """A node whose every statement can be replaced. ``records`` are (provenance, payload)."""

    records: Sequence[tuple[bytes, bytes]] = field(default_factory=lambda: some_records())
    key: ec.EllipticCurvePrivateKey = AK
    public: bytes = field(default_factory=ak_public)
    quote: Quote = field(default_factory=Quote)
    log_pcr: int = 13
    before: bytes = sha256(b"the heads before").digest()
    node_id: str = NODE_ID
    log_id: str = LOG_ID
    utc_ms: int = UTC_MS
    counter: int = 0
    extends: bool = True

    def leaves(self) -> list[bytes]:
        return leaf_hashes(SEGMENT_KEY, 0, self.records)

    def note(self) -> CheckpointNote:
        leaves = self.leaves()
        return CheckpointNote(
            node_id=self.node_id,
            log_id=self.log_id,
            size=len(leaves),
            root=tree_root(leaves),
            utc_ms=self.utc_ms,
            boot_id=BOOT_ID,
            previous=sha256(b"previous note").digest(),
            counter=self.counter,
        )

    def pcrs(self, body: bytes) -> dict[int, bytes]:
        values = {index: sha256(b"pcr %d" % index).digest() for index in BOOT_PCRS}
        after = sha256(self.before + sha256(body).digest()).digest()
        return values | {self.log_pcr: after if self.extends else self.before}

    def signed_note(self) -> bytes:
        body = self.note().body()
        attest = self.quote.attest(body, self.pcrs(body))
        return signed_note(body, attest, sign(self.key, attest), spki(self.key))

    def proof(self, seq: int, *, disclosed: bool = True, tenant: str | None = None) -> Proof:
        """An honest proof of record ``seq`` under a head over all records."""
        provenance, payload = self.records[seq]
        salt_p, salt_v = salts(SEGMENT_KEY, seq)
        leaves = self.leaves()
        shown = Salted(salt_v, provenance)
        body = self.note().body()
        return Proof(
            node_id=self.node_id,
            log_id=self.log_id,
            record=ProvenRecord(
                seq=seq,
                leaf=leaves[seq],
                payload=Salted(salt_p, payload),
                provenance=shown if disclosed else shown.digest(),
            ),
            inclusion=tuple(inclusion_path(leaves, seq)),
            note=self.signed_note(),
            quote=QuoteContext(self.public, self.log_pcr, self.before, self.pcrs(body)),
            tenant=tenant,
        )

    def head_before(self, size: int, **changes: object) -> PreviousHead:
        """An honest head of the first ``size`` records, made half a second before this one."""
        node = replace(
            self,
            records=self.records[:size],
            utc_ms=self.utc_ms - 500,
            quote=replace(self.quote, clock_ms=self.quote.clock_ms - 500),
        )
        node = replace(node, **changes)  # type: ignore[arg-type]  # a test names its own fields
        context = QuoteContext(
            node.public, node.log_pcr, node.before, node.pcrs(node.note().body())
        )
        path = tuple(consistency_path(self.leaves(), size))
        return PreviousHead(node.signed_note(), context, path)

    def unsigned_proof(self, seq: int) -> Proof:
        """The proof of a node without TPM."""
        return replace(self.proof(seq), note=self.note().body(), quote=None)


def witness(**changes: object) -> bytes:
    """A relayed AI-INF.1 payload with the right fingerprint for ``TENANT``, unless changed."""
    fields: dict[str, object] = {
        "procedure_id": "AI-INF.1",
        "factor_a": 1,
        "factor_b": 1,
        "factor_c": 0,
        "clearing_level": 3,
        "anchor_fingerprint": mint_fingerprint(TENANT, "AI-INF.1", 1, 1, 0, UTC_MS),
        "anchor_epoch": UTC_MS // 1000,
        "fingerprint_timestamp_ms": UTC_MS,
    }
    return json.dumps(fields | changes, separators=(",", ":")).encode()


def provenance(**fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()


WITNESS_SEQ = 4


def some_records() -> list[tuple[bytes, bytes]]:
    """Seven records; ``WITNESS_SEQ`` is a relayed witness."""
    own = provenance(listener="agent")
    records = [(own, b'{"record":%d}' % seq) for seq in range(7)]
    records[WITNESS_SEQ] = (provenance(listener="intake", tenant=TENANT), witness())
    return records


def statement(node: PaperNode | None = None, **changes: object) -> TrustStatement:
    """What an enroller would say of ``node``, unless changed: a software TPM, floors included."""
    node = node or PaperNode()
    honest = TrustStatement(
        enroller="enroller.example",
        enroller_key=enroller_public_key(ENROLLER),
        node_id=node.node_id,
        log_id=node.log_id,
        ak_public=node.public,
        tpm=TpmKind.SOFTWARE,
        log_pcr=13,
        valid_from_ms=UTC_MS - 1000,
        valid_until_ms=UTC_MS + 1000,
        ek_sha256=sha256(b"EK").digest(),
        floors=Floors(
            size=2, root=tree_root(node.leaves()[:2]), clock_ms=4_000_000, resets=7, counter=0
        ),
    )
    return replace(honest, **changes)  # type: ignore[arg-type]  # a test names its own fields


def trust_file(node: PaperNode | None = None, **changes: object) -> bytes:
    return sign_trust(statement(node, **changes).body(), ENROLLER)
