"""Proofs of one record that must be refused, and trust files that do not vouch for one."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from swt3_agent.protocol.log_tree import inclusion_path, leaf_from_digests, node_hash
from swt3_agent.protocol.note import encode_note, parse_note
from swt3_agent.protocol.proof import Proof, Salted, encode_proof
from swt3_agent.protocol.trust import TpmKind
from tests.refusals.case import UNDECIDED, Case
from tests.support import forge
from tests.support.forge import (
    TENANT,
    UTC_MS,
    WITNESS_SEQ,
    PaperNode,
    ak_public,
    provenance,
    statement,
    trust_file,
    witness,
)

NODE = PaperNode()
TRUST = trust_file()
PINNED = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14)


def cases() -> Iterator[Case]:
    """Every refusal of a proof."""
    yield from _files()
    yield from _places()
    yield from _signatures()
    yield from _attestations()
    yield from _registers()
    yield from _keys()
    yield from _trust_files()
    yield from _floors()
    yield from _contents()


def _case(
    name: str,
    threat: str,
    code: str,
    proof: Proof | bytes,
    trust: bytes | None = TRUST,
    **changes: Any,
) -> Case:
    files = {"file": proof if isinstance(proof, bytes) else encode_proof(proof)}
    if trust is not None:
        files["trust"] = trust
    options = {"allow_software_tpm": True, "now_ms": UTC_MS} | changes.pop("options", {})
    return Case(f"proof-{name}", threat, code, "proof", files, options, **changes)


def _honest() -> Proof:
    return NODE.proof(WITNESS_SEQ)


def _record(**changes: Any) -> Proof:
    proof = _honest()
    return replace(proof, record=replace(proof.record, **changes))


def _context(**changes: Any) -> Proof:
    proof = _honest()
    assert proof.quote is not None
    return replace(proof, quote=replace(proof.quote, **changes))


def _quoted(**changes: Any) -> Proof:
    """Honest but for the quote, which says something else and is signed all the same."""
    return replace(NODE, quote=replace(NODE.quote, **changes)).proof(WITNESS_SEQ)


def _signed(blob: bytes) -> Proof:
    proof = _honest()
    body, (line,) = parse_note(proof.note)
    return replace(proof, note=encode_note(body, [replace(line, signature=blob)]))


def _quote_parts() -> tuple[bytes, bytes]:
    body = NODE.note().body()
    attest = NODE.quote.attest(body, NODE.pcrs(body))
    return attest, forge.sign(forge.AK, attest)


def _files() -> Iterator[Case]:
    whole = encode_proof(_honest())
    deep = b"[" * 100 + b"]" * 100 + b"\n"
    yield _case("truncated", "the file was cut", "PARSE_NOT_JSON", whole[:1000])
    yield _case("no-newline", "the last byte is missing", "PARSE_NOT_CANONICAL", whole[:-1])
    yield _case("padded", "a space was added", "PARSE_NOT_CANONICAL", whole[:-1] + b" \n")
    yield _case(
        "duplicate-key",
        "a member is there twice, for readers that take the first",
        "PARSE_DUPLICATE_KEY",
        whole.replace(b'{"checkpoint"', b'{"tenant":null,"checkpoint"', 1)[:-2]
        + b',"tenant":null}\n',
    )
    yield _case("deep", "nested until a parser breaks", "PARSE_TOO_DEEP", deep)
    yield _case(
        "huge", "larger than any proof", "PARSE_TOO_LARGE", b'"' + b"a" * (17 << 20) + b'"\n'
    )
    unknown = whole.replace(b'{"checkpoint"', b'{"a":1,"checkpoint"', 1)
    yield _case("unknown-member", "a member nobody knows", "PARSE_FIELD", unknown)
    yield _case(
        "other-format",
        "a file of a format that is not this one",
        "PARSE_FORMAT_UNKNOWN",
        b'{"format":"swt3-agent/proof/999"}\n',
        exit_code=UNDECIDED,
    )
    yield _case("no-note", "the head is no note", "NOTE_FORMAT", _note(b"no note\n\nat all\n"))
    yield _case("no-body", "the note is no checkpoint", "NOTE_BODY", _note(b"not four lines\n"))
    other = replace(_honest(), node_id="ba" * 16)
    yield _case("other-node", "it names another node than its head", "IDENTITY", other)


def _note(note: bytes) -> Proof:
    return replace(_honest(), note=note)


def _places() -> Iterator[Case]:
    record = _honest().record
    assert isinstance(record.provenance, Salted)
    flipped = bytes([record.payload.content[0] ^ 1]) + record.payload.content[1:]
    payload = replace(record.payload, content=flipped)
    yield _case(
        "payload", "one bit of the record changed", "LEAF_MISMATCH", _record(payload=payload)
    )
    salt = replace(record.payload, salt=bytes(16))
    yield _case("salt", "another salt", "LEAF_MISMATCH", _record(payload=salt))
    moved = _record(seq=WITNESS_SEQ - 1)
    yield _case("seq", "claimed at another place", "LEAF_MISMATCH", moved)
    content = record.payload.digest() + record.provenance.digest()
    bare = sha256(b"\x00" + struct.pack(">Q", WITNESS_SEQ) + content).digest()
    yield _case("leaf-domain", "a leaf without its domain", "LEAF_MISMATCH", _record(leaf=bare))

    invented = Salted(bytes(16), b"never happened")
    leaf = leaf_from_digests(WITNESS_SEQ, invented.digest(), record.provenance.digest())
    forged = _record(payload=invented, leaf=leaf)
    yield _case("invented", "a record that was never logged", "INCLUSION_MISMATCH", forged)
    late = replace(NODE, records=[*NODE.records, (b"{}", b"{}")]).proof(7)
    late = replace(late, note=NODE.signed_note(), quote=NODE.proof(0).quote)
    yield _case("beyond", "a record that the head does not cover", "INCLUSION_RANGE", late)
    path = _honest().inclusion
    for name, wrong in {
        "path-short": path[:-1],
        "path-long": (*path, bytes(32)),
        "path-reversed": path[::-1],
        "path-neighbour": tuple(inclusion_path(NODE.leaves(), WITNESS_SEQ - 1)),
    }.items():
        proof = replace(_honest(), inclusion=wrong)
        yield _case(name, "a path of wrong length or place", "INCLUSION_MISMATCH", proof)

    one, two, three = NODE.leaves()[:3]
    no_floor = trust_file(floors=None)
    flat = _under_root(sha256(one + two).digest(), 2, 0, (two,))
    yield _case("node-domain", "a tree without node domain", "INCLUSION_MISMATCH", flat, no_floor)
    root = node_hash(node_hash(one, two), node_hash(three, three))
    doubled = _under_root(root, 3, 2, (three, node_hash(one, two)))
    yield _case("odd-leaf", "a doubled odd leaf", "INCLUSION_MISMATCH", doubled, no_floor)


def _under_root(root: bytes, size: int, seq: int, path: tuple[bytes, ...]) -> Proof:
    class WithRoot(PaperNode):
        def note(self) -> Any:
            return replace(super().note(), root=root, size=size)

    return replace(WithRoot().proof(seq), inclusion=path)


def _signatures() -> Iterator[Case]:
    bare = replace(_honest(), note=NODE.note().body())
    yield _case("signature-removed", "the signature was taken off", "NOTE_SIGNATURE_MISSING", bare)
    yield _case(
        "unsigned",
        "a node without a TPM",
        "LOG_UNSIGNED",
        NODE.unsigned_proof(WITNESS_SEQ),
        exit_code=UNDECIDED,
    )
    impostor = replace(NODE, key=forge.OTHER_AK).proof(WITNESS_SEQ)
    yield _case("other-key", "signed by another key than shown", "NOTE_KEY_ID", impostor)
    attest, der = _quote_parts()
    stranger = forge.sign(forge.OTHER_AK, attest)
    blob = forge.sized(attest) + forge.sized(stranger)
    yield _case("forged", "a signature that the key did not make", "NOTE_SIGNATURE", _signed(blob))
    changed = forge.sized(attest[:-1] + bytes([attest[-1] ^ 1])) + forge.sized(der)
    yield _case("attest-bit", "one bit of the quote changed", "NOTE_SIGNATURE", _signed(changed))
    yield _case("no-pair", "no quote and signature", "NOTE_SIGNATURE_FORMAT", _signed(b"\xff\xff"))
    for name, code, wrong in (
        ("zero", "SIGNATURE_RANGE", b"0\x06\x02\x01\x00\x02\x01\x01"),
        ("der", "SIGNATURE_DER", b"0\x07\x02\x02\x00\x01\x02\x01\x01"),
        ("huge-signature", "SIGNATURE_OVERSIZED", b"0" * 80),
    ):
        proof = _signed(forge.sized(attest) + forge.sized(wrong))
        yield _case(f"signature-{name}", "a signature that is none", code, proof)


def _attestations() -> Iterator[Case]:
    certificate = forge.sized(bytes(34)) + struct.pack(">H", 0) + forge.sized(bytes(8))
    for name, threat, code, changes in (
        ("magic", "not made by a TPM", "ATTEST_MAGIC", {"magic": b"TCG\xff"}),
        ("time", "TPM2_GetTime is no quote", "ATTEST_TYPE", {"type": 0x8019}),
        ("nv", "a counter certificate is none", "ATTEST_TYPE", _of(0x8014, certificate)),
        ("field", "safe is neither yes nor no", "ATTEST_FIELD", {"safe": 2}),
        ("trailing", "bytes after its end", "ATTEST_TRAILING", {"trailing": b"\x00"}),
        ("truncated", "it ends early", "ATTEST_TRUNCATED", {"info": b"\x00\x00"}),
        ("oversized", "a count no quote has", "ATTEST_OVERSIZED", {"info": b"\xff\xff\xff\xff"}),
        ("no-nonce", "nothing says what it is of", "QUOTE_CHALLENGE", {"extra": b""}),
        ("challenge", "an answer to a challenge", "QUOTE_CHALLENGE", {"extra": bytes(31)}),
    ):
        yield _case(f"quote-{name}", threat, code, _quoted(**changes))
    body = NODE.note().body()
    for name, threat, extra in (
        ("stale", "a quote of an earlier head", _domain(replace(NODE.note(), size=6).body())),
        ("other-node", "a quote of another node's head", _domain(_elsewhere())),
        ("domain", "signed for another purpose", sha256(b"swt3-agent:v1:other:" + body).digest()),
        ("no-domain", "signed without a purpose", sha256(body).digest()),
    ):
        yield _case(f"quote-{name}", threat, "QUOTE_OTHER_NOTE", _quoted(extra=extra))


def _of(kind: int, info: bytes) -> dict[str, Any]:
    return {"type": kind, "info": info}


def _domain(body: bytes) -> bytes:
    return sha256(b"swt3-agent:v1:checkpoint:" + body).digest()


def _elsewhere() -> bytes:
    return replace(NODE, node_id="ba" * 16).note().body()


def _registers() -> Iterator[Case]:
    second = (
        struct.pack(">I", 2) + forge.selection(PINNED)[4:] + forge.selection([0], forge.SHA1)[4:]
    )
    for name, threat, selection in (
        ("empty", "an empty bank: SHA-256 of nothing", forge.selection([])),
        ("none", "no bank at all", struct.pack(">I", 0)),
        ("fewer", "one register fewer", forge.selection(PINNED[1:])),
        ("more", "one register more", forge.selection([*PINNED, 15])),
        ("sha1", "the SHA-1 bank", forge.selection(PINNED, bank=forge.SHA1)),
        ("second", "a SHA-1 register beside it", second),
    ):
        proof = _quoted(selection=selection)
        yield _case(f"pcr-{name}", threat, "QUOTE_PCR_SELECTION", proof)
    quote = _honest().quote
    assert quote is not None
    values = dict(quote.pcrs)
    other = values | {7: sha256(b"other").digest()}
    yield _case("pcr-value", "another value than quoted", "QUOTE_PCR_DIGEST", _context(pcrs=other))
    more = values | {15: bytes(32)}
    yield _case("pcr-unquoted", "a register never quoted", "PCR_NOT_QUOTED", _context(pcrs=more))
    fewer = {index: value for index, value in values.items() if index != 3}
    yield _case("pcr-missing", "a quoted register not shown", "PCR_MISSING", _context(pcrs=fewer))
    hidden = replace(NODE, extends=False).proof(WITNESS_SEQ)
    yield _case("not-extended", "quoted and never extended", "LOG_PCR_REPLAY", hidden)
    fork = _context(before=bytes(32))
    yield _case("before", "another value before the extend", "LOG_PCR_REPLAY", fork)
    resettable = replace(NODE, log_pcr=16)
    trust = trust_file(resettable, log_pcr=16)
    proof = resettable.proof(WITNESS_SEQ)
    yield _case("log-pcr", "a register that software resets", "LOG_PCR", proof, trust)


def _keys() -> Iterator[Case]:
    has = forge.AK_ATTRIBUTES
    for name, code, attributes in (
        ("restricted", "AK_NOT_RESTRICTED", has & ~forge.RESTRICTED),
        ("fixed-tpm", "AK_NOT_FIXED_TPM", has & ~forge.FIXED_TPM),
        ("fixed-parent", "AK_NOT_FIXED_PARENT", has & ~forge.FIXED_PARENT),
        ("data-origin", "AK_NOT_DATA_ORIGIN", has & ~forge.DATA_ORIGIN),
        ("sign", "AK_NOT_SIGN", has & ~forge.SIGN),
        ("decrypt", "AK_DECRYPT", has | forge.DECRYPT),
        ("reserved", "AK_ATTRIBUTES", has | 1 << 31),
    ):
        node = replace(NODE, public=ak_public(attributes=attributes))
        threat = f"a key with wrong attributes ({name})"
        yield _case(f"ak-{name}", threat, code, node.proof(WITNESS_SEQ), trust_file(node))
    for name, code, public in (
        ("name-alg", "AK_NAME_ALG", ak_public(name_alg=forge.SHA384)),
        ("hash", "AK_SCHEME", ak_public(scheme=struct.pack(">HH", forge.ECDSA, forge.SHA1))),
        ("scheme", "AK_SCHEME", ak_public(scheme=struct.pack(">H", forge.NULL))),
        ("point", "PUBLIC_POINT", ak_public(y_shift=1)),
        ("unknown-curve", "PUBLIC_CURVE", ak_public(curve=0x0010)),
        ("trailing", "PUBLIC_TRAILING", ak_public() + b"\x00"),
        ("type", "PUBLIC_TYPE", forge.sized(ak_public())),
        ("truncated", "PUBLIC_TRUNCATED", ak_public()[:-1]),
    ):
        proof = replace(NODE, public=public).proof(WITNESS_SEQ)
        yield _case(f"ak-{name}", f"a wrong public area ({name})", code, proof)
    yield _case("ak-curve", "a key on another curve", "AK_CURVE", _p384())


def _p384() -> Proof:
    key = ec.derive_private_key(7, ec.SECP384R1())
    point = key.public_key().public_numbers()
    public = ak_public(curve=0x0004)[: -2 * (2 + 32)]
    public += forge.sized(point.x.to_bytes(48, "big")) + forge.sized(point.y.to_bytes(48, "big"))
    return replace(NODE, public=public, key=key).proof(WITNESS_SEQ)


def _trust_files() -> Iterator[Case]:
    yield _case(
        "unanchored", "nobody vouches", "SIGNER_UNANCHORED", _honest(), None, exit_code=UNDECIDED
    )
    yield _case(
        "software",
        "a software TPM where hardware is wanted",
        "SOFTWARE_TPM",
        _honest(),
        exit_code=UNDECIDED,
        options={"allow_software_tpm": False},
    )
    promoted = TRUST.replace(b"tpm software", b"tpm hardware")
    for name, threat, code, trust in (
        ("promoted", "software made hardware in the trust file", "TRUST_SIGNATURE", promoted),
        ("cut", "the trust file was cut", "TRUST_BODY", TRUST[:-10]),
        ("spelling", "a line in another spelling", "TRUST_BODY", TRUST.replace(b" 13", b" 013")),
        (
            "signer",
            "signed by somebody else than it names",
            "TRUST_SIGNER",
            TRUST.replace("— enroller.".encode(), "— somebody.".encode()),
        ),
    ):
        yield _case(f"trust-{name}", threat, code, _honest(), trust)
    yield _case(
        "trust-format",
        "a trust file of another format",
        "TRUST_FORMAT_UNKNOWN",
        _honest(),
        TRUST.replace(b"swt3-agent/trust/1", b"swt3-agent/trust/999"),
        exit_code=UNDECIDED,
    )
    weak = ak_public(attributes=forge.AK_ATTRIBUTES & ~forge.NO_DA)
    for name, threat, code, changes in (
        ("node", "for another node", "TRUST_NODE", {"node_id": "ba" * 16}),
        ("log", "for another log", "TRUST_LOG", {"log_id": "dc" * 16}),
        ("ak", "for another key", "TRUST_AK", {"ak_public": ak_public(forge.OTHER_AK)}),
        ("ak-name", "for the same point under another Name", "TRUST_AK", {"ak_public": weak}),
        ("log-pcr", "for another log PCR", "TRUST_LOG_PCR", {"log_pcr": 15}),
        ("early", "before its validity", "TRUST_VALIDITY", {"valid_from_ms": UTC_MS + 1}),
        ("late", "after its validity", "TRUST_VALIDITY", {"valid_until_ms": UTC_MS}),
        ("revoked", "newer than the revocation", "TRUST_REVOKED", {"revoked_ms": UTC_MS}),
    ):
        yield _case(f"trust-{name}", threat, code, _honest(), trust_file(floors=None, **changes))


def _floors() -> Iterator[Case]:
    floors = statement().floors
    assert floors is not None
    for name, code, changes in (
        ("size", "FLOOR_SIZE", {"size": 8}),
        ("root", "FLOOR_ROOT", {"size": 7, "root": bytes(32)}),
        ("counter", "FLOOR_COUNTER", {"counter": 1}),
        ("resets", "FLOOR_RESETS", {"resets": 8}),
        ("clock", "FLOOR_CLOCK", {"clock_ms": 5_000_001}),
        ("cleared", "FLOOR_CLOCK", {"resets": 6, "clock_ms": 5_000_001 + 2**22}),
    ):
        trust = trust_file(floors=replace(floors, **changes))
        yield _case(f"floor-{name}", "a head older than its enrolment", code, _honest(), trust)


def _contents() -> Iterator[Case]:
    yield _case(
        "future",
        "a head from the future",
        "NOTE_FUTURE",
        _honest(),
        trust_file(tpm=TpmKind.HARDWARE),
        options={"now_ms": UTC_MS - 3_600_000},
    )
    records = forge.some_records()
    records[WITNESS_SEQ] = (provenance(tenant=TENANT), witness(factor_b=0))
    node = replace(NODE, records=records)
    forged = node.proof(WITNESS_SEQ)
    trust = trust_file(node)
    yield _case("fingerprint", "another verdict", "FINGERPRINT_MISMATCH", forged, trust)
    moved = NODE.proof(WITNESS_SEQ, tenant="SOMEBODY")
    yield _case("tenant", "another tenant", "TENANT_MISMATCH", moved)
    hidden = NODE.proof(WITNESS_SEQ, disclosed=False, tenant="a:b")
    yield _case("bad-tenant", "a tenant that cannot be one", "BAD_FIELD", hidden)
