"""TPM structures cut at every field, with fields too long, and of kinds that nobody asked for."""

import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate

from swt3_agent.tcg.signature import der_to_tpmt
from tests.refusals.case import Case
from tests.support import forge
from tests.support.enrolment import COUNTER_PUBLIC, paper_ek
from tests.support.forge import AK, Quote, ak_public

ATTEST = Quote(extra=bytes(32)).attest(b"", {0: bytes(32)})
CERTIFIED = forge.sized(b"\x00\x0b" + bytes(32))
NV = Quote(type=0x8014, extra=bytes(32), info=CERTIFIED + b"\0\0" + forge.sized(bytes(8))).attest(
    b"", {}
)
CERTIFY = Quote(type=0x8017, extra=bytes(32), info=CERTIFIED * 2).attest(b"", {})
SIGNATURE = next(
    signed for number in range(99) if len(signed := forge.sign(AK, b"%d" % number)) == 70
)
"""One of the shorter ones, so that a byte more is not too many."""

_HEAD = (4, 2, 2, 34, 2, 32, 8, 4, 4, 1, 8)
"""Bytes of magic, type, qualifiedSigner, extraData, clockInfo and firmwareVersion, in order."""
_PUBLIC = (2, 2, 4, 2, 2, 2, 2, 2, 2, 2, 32, 2, 32)


def cases() -> Iterator[Case]:
    """Every damage that a parser of such a structure must notice."""
    yield from _cut("attest", "quote", ATTEST, (*_HEAD, 4, 2, 1, 3, 2, 32))
    yield from _cut("attest", "nv", NV, (*_HEAD, 2, 34, 2, 2, 8))
    yield from _cut("attest", "certify", CERTIFY, (*_HEAD, 2, 34, 2, 34))
    yield from _cut("public", "ak", ak_public(), _PUBLIC)
    yield from _cut("public", "rsa", paper_ek("rsa2048").public,
                    (2, 2, 4, 2, 32, 2, 2, 2, 2, 2, 4, 2, 256))  # fmt: skip
    yield from _cut("nv-public", "counter", COUNTER_PUBLIC, (4, 2, 4, 2, 2))
    yield from _cut("signature", "tpmt", der_to_tpmt(SIGNATURE), (2, 2, 2, 32, 2, 32))
    yield from _attests()
    yield from _publics()
    yield from _indices()
    yield from _signatures()


def _case(kind: str, name: str, threat: str, code: str, data: bytes) -> Case:
    return Case(f"{kind}-{name}", threat, code, "structure", {"file": data}, {"kind": kind})


def _prefix(kind: str) -> str:
    return kind.upper().replace("-", "_")


def _cut(kind: str, name: str, whole: bytes, sizes: Sequence[int]) -> Iterator[Case]:
    """Before each field, in its midst, and with a byte behind the last."""
    ends = [0, *accumulate(sizes)]
    assert ends[-1] == len(whole), (name, ends, len(whole))
    cuts = {at for end, size in zip(ends, sizes, strict=False) for at in (end, end + size // 2)}
    for at in sorted(cuts):
        slug, threat = f"{name}-cut-{at}", f"cut after {at} bytes"
        yield _case(kind, slug, threat, f"{_prefix(kind)}_TRUNCATED", whole[:at])
    code = f"{_prefix(kind)}_TRAILING"
    yield _case(kind, f"{name}-trailing", "a byte behind its end", code, whole + b"\0")


def _put(whole: bytes, at: int, data: bytes) -> bytes:
    return whole[:at] + data + whole[at + len(data) :]


def _attests() -> Iterator[Case]:
    for name, code, data in (
        ("signer-size", "OVERSIZED", _put(ATTEST, 6, b"\xff\xff")),
        ("extra-size", "OVERSIZED", _put(ATTEST, 42, b"\xff\xff")),
        ("banks", "OVERSIZED", _put(ATTEST, 101, b"\xff\xff\xff\xff")),
        ("bitmap", "OVERSIZED", _put(ATTEST, 107, b"\xff")),
        ("digest-size", "OVERSIZED", _put(ATTEST, 111, b"\xff\xff")),
        ("nv-contents", "OVERSIZED", _put(NV, len(NV) - 10, b"\xff\xff")),
        ("huge", "OVERSIZED", ATTEST + bytes(8192)),
        ("magic", "MAGIC", _put(ATTEST, 0, b"\xffTCH")),
        ("safe", "FIELD", _put(ATTEST, 92, b"\x02")),
        *(
            (f"type-{kind:04x}", "TYPE", _put(ATTEST, 4, struct.pack(">H", kind)))
            for kind in (0x0000, 0x8015, 0x8016, 0x8019, 0x801A, 0x801C)
        ),
    ):
        yield _case("attest", name, f"a wrong attestation ({name})", f"ATTEST_{code}", data)


def _publics() -> Iterator[Case]:
    whole = ak_public()
    rsa = paper_ek("rsa2048").public
    short = rsa[:-256] + b"\x7f" + rsa[-255:]
    for name, code, data in (
        ("type", "TYPE", _put(whole, 0, b"\x00\x08")),
        ("name-alg", "NAME_ALG", _put(whole, 2, b"\x00\x12")),
        ("symmetric", "SYMMETRIC", _put(whole, 10, b"\x00\x01")),
        ("scheme", "SCHEME", _put(whole, 12, b"\x00\x14")),
        ("curve", "CURVE", _put(whole, 16, b"\x00\x05")),
        ("kdf", "KDF", _put(whole, 18, b"\x00\x20")),
        ("point", "POINT", ak_public(y_shift=1)),
        ("zero-point", "POINT", whole[:20] + forge.sized(bytes(32)) * 2),
        ("no-point", "POINT", whole[:20] + bytes(4)),
        ("policy-size", "OVERSIZED", _put(whole, 8, b"\xff\xff")),
        ("x-size", "OVERSIZED", whole[:20] + forge.sized(bytes(33)) + whole[54:]),
        ("huge", "OVERSIZED", whole + bytes(4096)),
        ("rsa-bits", "RSA_SIZE", _put(rsa, 50, b"\x04\x00")),
        ("rsa-short", "RSA_SIZE", short),
        ("rsa-even", "RSA_SIZE", rsa[:-1] + b"\0"),
        ("rsa-exponent", "RSA_EXPONENT", _put(rsa, 52, b"\0\0\0\x01")),
        ("rsa-even-exponent", "RSA_EXPONENT", _put(rsa, 52, b"\0\1\0\0")),
    ):
        yield _case("public", name, f"a wrong public area ({name})", f"PUBLIC_{code}", data)


def _indices() -> Iterator[Case]:
    policy = COUNTER_PUBLIC[:10] + forge.sized(bytes(32)) + COUNTER_PUBLIC[12:]
    for name, code, data in (
        ("index", "NV_PUBLIC_INDEX", _put(COUNTER_PUBLIC, 0, b"\x81")),
        ("name-alg", "NV_PUBLIC_NAME_ALG", _put(COUNTER_PUBLIC, 4, b"\x00\x12")),
        ("policy-size", "NV_PUBLIC_OVERSIZED", _put(COUNTER_PUBLIC, 10, b"\xff\xff")),
        ("huge", "NV_PUBLIC_OVERSIZED", COUNTER_PUBLIC + bytes(4096)),
        ("ordinary", "COUNTER_INDEX_TYPE", _put(COUNTER_PUBLIC, 6, b"\x22\x04\x00\x04")),
        ("extend", "COUNTER_INDEX_TYPE", _put(COUNTER_PUBLIC, 6, b"\x22\x04\x00\x44")),
        ("unwritten", "COUNTER_INDEX_UNWRITTEN", _put(COUNTER_PUBLIC, 6, b"\x02\x04\x00\x14")),
        ("orderly", "COUNTER_INDEX_ATTRIBUTES", _put(COUNTER_PUBLIC, 6, b"\x26\x04\x00\x14")),
        ("platform", "COUNTER_INDEX_ATTRIBUTES", _put(COUNTER_PUBLIC, 6, b"\x62\x04\x00\x14")),
        ("owner-writes", "COUNTER_INDEX_ATTRIBUTES", _put(COUNTER_PUBLIC, 6, b"\x22\x04\x00\x16")),
        ("size", "COUNTER_INDEX_SIZE", COUNTER_PUBLIC[:-1] + b"\x04"),
        ("sha384", "COUNTER_INDEX_NAME_ALG", _put(COUNTER_PUBLIC, 4, b"\x00\x0c")),
        ("policy", "COUNTER_INDEX_POLICY", policy),
    ):
        yield _case("nv-public", name, f"a wrong index ({name})", code, data)


def _signatures() -> Iterator[Case]:
    whole = der_to_tpmt(SIGNATURE)
    for name, code, data in (
        ("rsa", "ALGORITHM", _put(whole, 0, b"\x00\x14")),
        ("ecdaa", "ALGORITHM", _put(whole, 0, b"\x00\x1a")),
        ("sha1", "ALGORITHM", _put(whole, 2, b"\x00\x04")),
        ("null", "ALGORITHM", b"\x00\x10\x00\x0b"),
        ("r-zero", "RANGE", _put(whole, 6, bytes(32))),
        ("s-zero", "RANGE", _put(whole, 40, bytes(32))),
        ("empty", "RANGE", whole[:4] + bytes(4)),
        ("r-size", "OVERSIZED", _put(whole, 4, b"\xff\xff")),
    ):
        yield _case("signature", name, f"a wrong signature ({name})", f"SIGNATURE_{code}", data)
    for name, code, data in (
        ("empty", "TRUNCATED", b""),
        ("cut", "DER", SIGNATURE[:-1]),
        ("trailing", "DER", SIGNATURE + b"\0"),
        ("long-form", "DER", b"\x30\x81" + SIGNATURE[1:]),
        ("padded", "DER", b"\x30\x07\x02\x02\x00\x01\x02\x01\x01"),
        ("negative", "DER", b"\x30\x06\x02\x01\xff\x02\x01\x01"),
        ("zero", "RANGE", b"\x30\x06\x02\x01\x00\x02\x01\x01"),
        ("large", "RANGE", b"\x30\x26\x02\x21\x01" + bytes(32) + b"\x02\x01\x01"),
        ("huge", "OVERSIZED", b"\x30" * 80),
        ("inside", "TRUNCATED", b"\x30\x06\x02\x7f\x01\x02\x01\x01"),
        ("three", "TRAILING", b"\x30\x09" + b"\x02\x01\x01" * 3),
    ):
        threat = f"a wrong DER signature ({name})"
        yield _case("signature-der", name, threat, f"SIGNATURE_{code}", data)
