"""Proofs of a key that followed the enrolled one, or claims to; and of the head before a record."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec

from swt3_agent.protocol.bundle_evidence import SuccessionInfo
from swt3_agent.protocol.note import encode_base64
from swt3_agent.protocol.proof import PreviousHead, Proof, encode_proof
from swt3_agent.protocol.succession import successor_data
from swt3_agent.tcg.public import parse_tpmt
from tests.refusals.case import Case
from tests.support import forge
from tests.support.forge import (
    AK,
    LOG_ID,
    OTHER_AK,
    UTC_MS,
    WITNESS_SEQ,
    PaperNode,
    Quote,
    ak_public,
    sized,
    trust_file,
)

NODE = PaperNode()
TRUST = trust_file()
THIRD_AK = ec.derive_private_key(0x7468_6972, ec.SECP256R1())


def cases() -> Iterator[Case]:
    """Every refusal of a succession, and of an earlier head."""
    yield from _successions()
    yield from _earlier_heads()


def link(
    old: ec.EllipticCurvePrivateKey,
    new: ec.EllipticCurvePrivateKey,
    *,
    public: bytes | None = None,
    signer: ec.EllipticCurvePrivateKey | None = None,
    extra: bytes | None = None,
    type: int = 0x8017,
) -> SuccessionInfo:
    """``old`` certifies ``new`` as its successor, unless changed."""
    data = successor_data(LOG_ID, parse_tpmt(ak_public(old)).name())
    shown = ak_public(new) if public is None else public
    info = sized(_name(shown)) * 2
    if type == 0x8018:
        info = forge.selection([0]) + sized(bytes(32))
    attest = Quote(type=type, extra=data if extra is None else extra, info=info).attest(b"", {})
    return SuccessionInfo(
        ak_public=encode_base64(shown),
        attest=encode_base64(attest),
        signature=encode_base64(forge.sign(signer or old, attest)),
    )


def _name(public: bytes) -> bytes:
    return b"\x00\x0b" + sha256(public).digest()


def _case(name: str, threat: str, code: str, proof: Proof, trust: bytes = TRUST) -> Case:
    files = {"file": encode_proof(proof), "trust": trust}
    told = {"allow_software_tpm": True, "now_ms": UTC_MS}
    return Case(f"proof-{name}", threat, code, "proof", files, told)


def _under(key: ec.EllipticCurvePrivateKey, *links: SuccessionInfo) -> Proof:
    node = PaperNode(key=key, public=ak_public(key))
    return replace(node.proof(WITNESS_SEQ), successions=links)


def _weak(**changes: int) -> bytes:
    return ak_public(OTHER_AK, **changes)  # type: ignore[arg-type]  # fields by name


def _successions() -> Iterator[Case]:
    has = forge.AK_ATTRIBUTES
    other = _certified_other()
    for name, threat, code, link_ in (
        ("unrestricted", "a good AK certifies a key that signs anything", "AK_NOT_RESTRICTED",
         link(AK, OTHER_AK, public=_weak(attributes=has & ~forge.RESTRICTED))),
        ("duplicable", "a key that can be taken to another TPM", "AK_NOT_FIXED_TPM",
         link(AK, OTHER_AK, public=_weak(attributes=has & ~forge.FIXED_TPM))),
        ("moved", "a key that can be moved to another parent", "AK_NOT_FIXED_PARENT",
         link(AK, OTHER_AK, public=_weak(attributes=has & ~forge.FIXED_PARENT))),
        ("external", "a software key loaded into the TPM and certified", "AK_NOT_DATA_ORIGIN",
         link(AK, OTHER_AK, public=_weak(attributes=has & ~forge.DATA_ORIGIN))),
        ("decrypts", "a key that also decrypts", "AK_DECRYPT",
         link(AK, OTHER_AK, public=_weak(attributes=has | forge.DECRYPT))),
        ("name", "better attributes shown than certified", "SUCCESSION_NAME", other),
        ("type", "a quote passed off as a certification", "SUCCESSION_TYPE",
         link(AK, OTHER_AK, type=0x8018)),
        ("data", "a certification for another purpose", "SUCCESSION_DATA",
         link(AK, OTHER_AK, extra=b"")),
        ("log", "a certification for another log", "SUCCESSION_DATA",
         link(AK, OTHER_AK, extra=successor_data("ef" * 16, _name(ak_public())))),
        ("signer", "certified by the new key itself", "SUCCESSION_SIGNATURE",
         link(AK, OTHER_AK, signer=OTHER_AK)),
        ("base64", "no Base 64", "PARSE_FIELD", SuccessionInfo("?", "", "")),
        ("truncated", "a public area cut short", "PUBLIC_TRUNCATED",
         link(AK, OTHER_AK, public=ak_public(OTHER_AK)[:-1])),
    ):  # fmt: skip
        yield _case(f"succession-{name}", threat, code, _under(OTHER_AK, link_))
    missing = _under(THIRD_AK, link(OTHER_AK, THIRD_AK))
    yield _case("succession-gap", "a key left out", "SUCCESSION_SIGNATURE", missing)
    short = _under(THIRD_AK, link(AK, OTHER_AK))
    yield _case("succession-short", "it ends before the signer", "TRUST_AK", short)
    itself = _under(OTHER_AK, link(AK, OTHER_AK), link(OTHER_AK, OTHER_AK))
    yield _case("succession-self", "a key follows itself", "SUCCESSION_SELF", itself)
    yield _case("succession-none", "nothing leads to the signer", "TRUST_AK", _under(OTHER_AK))


def _certified_other() -> SuccessionInfo:
    """The certified key is unrestricted, and another area of the same point is shown."""
    weak = link(AK, OTHER_AK, public=_weak(attributes=forge.AK_ATTRIBUTES & ~forge.RESTRICTED))
    return SuccessionInfo(encode_base64(ak_public(OTHER_AK)), weak.attest, weak.signature)


def _earlier_heads() -> Iterator[Case]:
    before = NODE.head_before
    unsigned = replace(before(3), note=replace(NODE, records=NODE.records[:3]).note().body())
    for name, threat, code, previous in (
        ("range", "the earlier head covers the record", "PREVIOUS_RANGE", before(WITNESS_SEQ + 1)),
        ("cut", "no path leads from one to the other", "PREVIOUS_CONSISTENCY",
         replace(before(3), consistency=())),
        ("fork", "a head of another history", "PREVIOUS_CONSISTENCY",
         before(3, records=NODE.records[1:4])),
        ("other-log", "a head of another log", "IDENTITY", before(3, log_id="ef" * 8)),
        ("log-pcr", "a head in another register", "PREVIOUS_LOG_PCR", before(3, log_pcr=11)),
        ("not-extended", "quoted and never extended", "LOG_PCR_REPLAY", before(3, extends=False)),
        ("clock", "quoted after the later head", "PREVIOUS_CLOCK",
         before(3, quote=Quote(clock_ms=5_000_001))),
        ("resets", "quoted after a later reset", "PREVIOUS_CLOCK",
         before(3, quote=Quote(resets=8))),
        ("challenge", "the answer to a challenge", "QUOTE_CHALLENGE",
         before(3, quote=Quote(extra=b"a challenge"))),
        ("signer", "signed by another key than shown", "NOTE_KEY_ID", before(3, key=OTHER_AK)),
        ("unsigned", "a head that nobody signed", "PREVIOUS_UNSIGNED", unsigned),
    ):  # fmt: skip
        yield _earlier(name, threat, code, NODE.proof(WITNESS_SEQ), previous)
    bare = NODE.unsigned_proof(WITNESS_SEQ)
    threat = "an earlier head where nobody signs"
    yield _earlier("bare", threat, "PREVIOUS_UNSIGNED", bare, before(3))
    stranger = PaperNode(key=THIRD_AK, public=ak_public(THIRD_AK)).head_before(3)
    threat = "a head of a key that is none of the node's"
    yield _earlier("stranger", threat, "TRUST_AK", NODE.proof(WITNESS_SEQ), stranger)


def _earlier(name: str, threat: str, code: str, proof: Proof, previous: PreviousHead) -> Case:
    return _case(f"previous-{name}", threat, code, replace(proof, previous=previous))
