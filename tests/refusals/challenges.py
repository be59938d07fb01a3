"""Answers to a live challenge that answer something else, or come from somebody else."""

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swt3_agent.protocol.reference import Reference, encode_reference
from swt3_agent.protocol.trust import TpmKind
from swt3_agent.tcg.signature import der_to_tpmt
from tests.refusals.case import UNDECIDED, Case
from tests.support import forge
from tests.support.forge import (
    AK,
    BOOT_PCRS,
    OTHER_AK,
    UTC_MS,
    Quote,
    ak_public,
    trust_file,
)

NONCE = bytes(range(16))
PCRS = {index: sha256(b"pcr %d" % index).digest() for index in (*BOOT_PCRS, 13)}
TRUST = trust_file()
HONEST = Quote(extra=NONCE)
TOO_MUCH = b"x" * (64 * 1024 + 1)


def cases() -> Iterator[Case]:
    """Every refusal of a challenge's answer."""
    yield from _nonces()
    yield from _files()
    yield from _signatures()
    yield from _registers()
    yield from _keys()
    yield from _references()


def answer(
    quote: Quote = HONEST,
    pcrs: Mapping[int, bytes] = PCRS,
    *,
    key: ec.EllipticCurvePrivateKey = AK,
    signer: ec.EllipticCurvePrivateKey | None = None,
    **files: bytes | None,
) -> dict[str, bytes]:
    """The files of an honest answer, unless changed; one given as None is missing."""
    attest = quote.attest(b"", pcrs)
    honest = {
        "ak.pem": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "ak.pub": ak_public(key),
        "quote.msg": attest,
        "quote.sig": der_to_tpmt(forge.sign(signer or key, attest)),
        "pcrs.json": values(pcrs),
    }
    changed = honest | {name.replace("_", "."): content for name, content in files.items()}
    return {name: content for name, content in changed.items() if content is not None}


def values(pcrs: Mapping[int, bytes]) -> bytes:
    return json.dumps({"sha256": {str(i): value.hex() for i, value in pcrs.items()}}).encode()


def case(
    name: str,
    threat: str,
    code: str,
    files: Mapping[str, bytes],
    trust: bytes | None = TRUST,
    *,
    reference: bytes | None = None,
    exit_code: int = 3,
    **options: object,
) -> Case:
    given = dict(files)
    if trust is not None:
        given["trust"] = trust
    if reference is not None:
        given["reference"] = reference
    told = {"nonce": NONCE.hex(), "allow_software_tpm": True, "now_ms": UTC_MS} | options
    return Case(f"challenge-{name}", threat, code, "challenge", given, told, exit_code)


def _quoted(**changes: Any) -> dict[str, bytes]:
    return answer(replace(HONEST, **changes))


def _nonces() -> Iterator[Case]:
    missing = _quoted(extra=b"")
    yield case("no-nonce", "a quote without any nonce", "CHALLENGE_NONCE_MISSING", missing)
    stale = _quoted(extra=NONCE[::-1])
    yield case("stale", "the answer to an earlier challenge", "CHALLENGE_NONCE", stale)
    other = _quoted(extra=b"the nonce of another node")
    yield case("other-node", "the answer of another node", "CHALLENGE_NONCE", other)
    longer = _quoted(extra=NONCE + b"\0")
    yield case("longer", "a nonce that only begins like it", "CHALLENGE_NONCE", longer)
    checkpoint = _quoted(extra=sha256(b"swt3-agent:v1:checkpoint:note").digest())
    threat = "a checkpoint's quote offered as an answer"
    yield case("checkpoint", threat, "CHALLENGE_CHECKPOINT", checkpoint)
    yield case(
        "checkpoint-asked",
        "a node asked to quote a head that somebody made up",
        "CHALLENGE_CHECKPOINT",
        _quoted(extra=bytes(32)),
        nonce=bytes(32).hex(),
    )
    threat = "the verifier forgot what he asked"
    yield case("not-asked", threat, "CHALLENGE_NO_NONCE", answer(), exit_code=UNDECIDED, nonce=None)


def _files() -> Iterator[Case]:
    for name in ("ak.pem", "quote.msg", "quote.sig", "pcrs.json"):
        files = answer()
        huge = {**files, name: TOO_MUCH}
        del files[name]
        slug = name.replace(".", "-")
        yield case(f"without-{slug}", "a file is missing", "CHALLENGE_FILES", files)
        yield case(f"huge-{slug}", "a file without end", "CHALLENGE_FILES", huge)
    for name, pem in {
        "none": b"no key\n",
        "p384": _pem(ec.derive_private_key(5, ec.SECP384R1())),
        "damaged": answer()["ak.pem"].replace(b"A", b"B"),
    }.items():
        yield case(f"key-{name}", "a key that is none", "CHALLENGE_KEY", answer(ak_pem=pem))
    for name, text in {
        "not-json": b"",
        "list": b"[]",
        "sha1": b'{"sha1":{}}',
        "two-banks": b'{"sha1":{},"sha256":{}}',
        "index": b'{"sha256":{"24":"%b"}}' % (b"0" * 64),
        "size": b'{"sha256":{"0":"00"}}',
        "deep": b'{"sha256":' + b"[" * 100 + b"]" * 100 + b"}",
        "twice": b'{"sha256":{"0":"%b","0":"%b"}}' % (b"0" * 64, b"1" * 64),
    }.items():
        files = answer(pcrs_json=text)
        yield case(f"values-{name}", "PCR values that are none", "CHALLENGE_PCRS", files)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _signatures() -> Iterator[Case]:
    forged = answer(signer=OTHER_AK)
    yield case("forged", "a signature of another key", "CHALLENGE_SIGNATURE", forged)
    whole = answer()["quote.sig"]
    for name, code, signature in (
        ("algorithm", "SIGNATURE_ALGORITHM", b"\x00\x14" + whole[2:]),
        ("truncated", "SIGNATURE_TRUNCATED", whole[:-1]),
        ("trailing", "SIGNATURE_TRAILING", whole + b"\0"),
        ("oversized", "SIGNATURE_OVERSIZED", whole[:4] + b"\x00\x21" + whole[6:]),
        ("zero", "SIGNATURE_RANGE", whole[:6] + bytes(32) + whole[38:]),
    ):
        files = answer(quote_sig=signature)
        yield case(f"signature-{name}", "a signature that is none", code, files)
    nv = forge.sized(b"\x00\x0b" + bytes(32)) + struct.pack(">H", 0) + forge.sized(bytes(8))
    for name, threat, code, changes in (
        ("magic", "not made by a TPM", "ATTEST_MAGIC", {"magic": b"TCG\xff"}),
        ("nv", "a counter certificate is no quote", "ATTEST_TYPE", {"type": 0x8014, "info": nv}),
        ("time", "TPM2_GetTime is no quote", "ATTEST_TYPE", {"type": 0x8019}),
        ("trailing", "bytes after its end", "ATTEST_TRAILING", {"trailing": b"\0"}),
        ("truncated", "it ends early", "ATTEST_TRUNCATED", {"info": b"\0\0"}),
        ("oversized", "a count no quote has", "ATTEST_OVERSIZED", {"info": b"\xff" * 4}),
        ("field", "safe is neither yes nor no", "ATTEST_FIELD", {"safe": 2}),
    ):
        yield case(f"attest-{name}", threat, code, _quoted(**changes))


def _registers() -> Iterator[Case]:
    fewer = {index: value for index, value in PCRS.items() if index != 13}
    for name, threat, selection in (
        ("none", "no bank at all", struct.pack(">I", 0)),
        ("empty", "an empty bank: SHA-256 of nothing", forge.selection([])),
        ("sha1", "the SHA-1 bank", forge.selection(PCRS, forge.SHA1)),
    ):
        files = _quoted(selection=selection)
        yield case(f"pcr-{name}", threat, "QUOTE_PCR_SELECTION", files)
    yield case("pcr-fewer", "no log register", "QUOTE_PCR_SELECTION", answer(pcrs=fewer))
    more = answer(pcrs=PCRS | {16: bytes(32)})
    yield case("pcr-resettable", "a register that root resets", "QUOTE_PCR_SELECTION", more)
    digest = _quoted(digest=sha256(b"").digest())
    yield case("pcr-digest", "a digest of nothing", "QUOTE_PCR_DIGEST", digest)
    other = answer(pcrs_json=values(PCRS | {7: bytes(32)}))
    yield case("pcr-value", "another value than quoted", "QUOTE_PCR_DIGEST", other)
    claimed = answer(pcrs_json=values(PCRS | {23: bytes(32)}))
    yield case("pcr-unquoted", "a register never quoted", "PCR_NOT_QUOTED", claimed)
    hidden = answer(pcrs_json=values(fewer))
    yield case("pcr-missing", "a quoted register not shown", "PCR_MISSING", hidden)


def _keys() -> Iterator[Case]:
    weak = ak_public(attributes=forge.AK_ATTRIBUTES & ~forge.RESTRICTED)
    for name, threat, code, files, trust in (
        ("other-key", "another TPM's answer", "TRUST_AK", answer(key=OTHER_AK), TRUST),
        ("ak-pub", "another key's public area", "CHALLENGE_KEY",
         answer(ak_pub=ak_public(OTHER_AK)), TRUST),
        ("unrestricted", "a key that signs forged quotes", "AK_NOT_RESTRICTED",
         answer(ak_pub=weak), TRUST),
        ("enrolled-weak", "such a key, enrolled", "AK_NOT_RESTRICTED", answer(ak_pub=None),
         trust_file(ak_public=weak)),
        ("ak-pub-cut", "a public area cut short", "PUBLIC_TRUNCATED",
         answer(ak_pub=ak_public()[:-1]), TRUST),
        ("log-pcr", "another log register than enrolled", "TRUST_LOG_PCR", answer(),
         trust_file(log_pcr=15)),
        ("resets", "a TPM with fewer resets than enrolled", "FLOOR_RESETS", _quoted(resets=6),
         TRUST),
        ("clock", "a TPM with an earlier clock than enrolled", "FLOOR_CLOCK",
         _quoted(clock_ms=3_999_999), TRUST),
        ("expired", "after the trust file's validity", "TRUST_VALIDITY", answer(),
         trust_file(valid_until_ms=UTC_MS)),
        ("revoked", "after the revocation", "TRUST_REVOKED", answer(),
         trust_file(revoked_ms=UTC_MS - 5)),
        ("trust-cut", "a trust file cut short", "TRUST_BODY", answer(), TRUST[:-9]),
        ("promoted", "software made hardware in the trust file", "TRUST_SIGNATURE", answer(),
         TRUST.replace(b"tpm software", b"tpm hardware")),
    ):  # fmt: skip
        yield case(f"key-{name}", threat, code, files, trust)
    other = answer(key=OTHER_AK)
    for name, code, links in (
        ("object", "CHALLENGE_SUCCESSIONS", b"{}"),
        ("deep", "CHALLENGE_SUCCESSIONS", b"[" * 60_000),
        ("no-text", "CHALLENGE_SUCCESSIONS", b"\xff"),
        ("none", "TRUST_AK", b"[]"),
        ("base64", "PARSE_FIELD", b'[{"ak_public":"?","attest":"","signature":""}]'),
    ):
        files = {**other, "successions.json": links}
        yield case(f"successions-{name}", "rotations that lead nowhere", code, files)
    threat = "nobody vouches for the key"
    yield case("unanchored", threat, "SIGNER_UNANCHORED", answer(), None, exit_code=UNDECIDED)
    yield case(
        "software",
        "a software TPM where hardware is wanted",
        "SOFTWARE_TPM",
        answer(),
        exit_code=UNDECIDED,
        allow_software_tpm=False,
    )


def _references() -> Iterator[Case]:
    trust = trust_file(tpm=TpmKind.HARDWARE)
    accepted = Reference(pcrs={0: (PCRS[0].hex(),), 7: (bytes(32).hex(),)})
    yield case(
        "boot-changed",
        "another Secure Boot state than accepted",
        "PCR_MISMATCH",
        answer(),
        trust,
        reference=encode_reference(accepted),
    )
    for name, threat, code, reference in (
        ("pcr-not-quoted", "a register that only the reference has", "PCR_NOT_QUOTED",
         encode_reference(Reference(pcrs={10: (bytes(32).hex(),)}))),
        ("no-boot-log", "values of a log that an answer does not hold", "BOOT_LOG_MISSING",
         encode_reference(Reference(values={"secure-boot": ("enabled",)}))),
        ("reference-empty", "a reference that compares nothing", "REFERENCE_EMPTY",
         b'{"format":"swt3-agent/reference/1","pcrs":{},"values":{}}'),
        ("reference-any", "a reference that accepts everything", "REFERENCE_EMPTY",
         b'{"format":"swt3-agent/reference/1","pcrs":{},"values":{"secure-boot":["*"]}}'),
        ("reference-format", "a reference of another format", "REFERENCE_FORMAT_UNKNOWN",
         b'{"format":"swt3-agent/reference/999"}'),
        ("reference-broken", "a reference with a value that is none", "REFERENCE_INVALID",
         b'{"format":"swt3-agent/reference/1","pcrs":{"0":["00"]}}'),
        ("reference-json", "a reference that is no JSON", "REFERENCE_INVALID", b"no JSON"),
    ):  # fmt: skip
        yield case(name, threat, code, answer(), trust, reference=reference, exit_code=UNDECIDED)
