"""TPMT_PUBLIC of a key: its Name, its SPKI, and what an AK must be.

TPM 2.0 Part 2, 12.2.4 (public area) and 8.3 (attributes); Part 1, 16 (Names).
"""

import base64
import struct
from dataclasses import dataclass
from enum import IntFlag

from swt3_agent.errors import FormatError
from swt3_agent.tcg.algorithms import Algorithm
from swt3_agent.tcg.curves import CURVES, P256, Curve
from swt3_agent.tcg.names import name_of
from swt3_agent.tcg.public_fields import Symmetric, read_common, reader_of
from swt3_agent.tcg.reader import Reader
from swt3_agent.tcg.rsa_public import RsaPublic, parse_rsa

MAX_COORDINATE = 66

_RSA_TAG = struct.pack(">H", Algorithm.RSA)
_HASH_SCHEMES = (
    Algorithm.ECDSA,
    Algorithm.ECDH,
    Algorithm.SM2,
    Algorithm.ECSCHNORR,
    Algorithm.ECMQV,
)


class Attribute(IntFlag):
    """TPMA_OBJECT bits (TPM 2.0 Part 2, 8.3.2)."""

    FIXED_TPM = 1 << 1
    ST_CLEAR = 1 << 2
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    NO_DA = 1 << 10
    ENCRYPTED_DUPLICATION = 1 << 11
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18
    X509_SIGN = 1 << 19


@dataclass(frozen=True, slots=True)
class EccPublic:
    """One ECC public area. ``scheme`` and ``scheme_hash`` are TPM_ALG_ID values (hash 0: none);
    ``x`` and ``y`` are unsigned big-endian, padded to the size of the curve."""

    tpmt: bytes
    name_alg: Algorithm
    attributes: int
    auth_policy: bytes
    symmetric: Symmetric
    scheme: int
    scheme_hash: int
    curve: Curve
    x: bytes
    y: bytes

    def name(self) -> bytes:
        """The TPM's Name of the key: nameAlg ‖ H(TPMT_PUBLIC)."""
        return name_of(self.name_alg, self.tpmt)

    def spki_der(self) -> bytes:
        """SubjectPublicKeyInfo (RFC 5480), DER, uncompressed point."""
        return self.curve.spki_prefix + b"\x04" + self.x + self.y

    def to_pem(self) -> str:
        """``spki_der`` in PEM, as ``tpm2_checkquote -u`` and OpenSSL read it."""
        text = base64.b64encode(self.spki_der()).decode("ascii")
        lines = [text[start : start + 64] for start in range(0, len(text), 64)]
        return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def parse_public(data: bytes) -> EccPublic:
    """Read a whole TPMT_PUBLIC, or a TPM2B_PUBLIC around one, of an ECC key, as TPM tools give it.

    Raises ``FormatError`` as ``parse_tpmt`` does.
    """
    return parse_tpmt(_without_size(bytes(data)))


def parse_key(data: bytes) -> EccPublic | RsaPublic:
    """Read a whole TPMT_PUBLIC of an elliptic-curve or RSA key, such as an endorsement key.

    Raises ``FormatError`` as ``parse_tpmt`` and ``parse_rsa`` do.
    """
    data = bytes(data)
    return parse_rsa(data) if data[:2] == _RSA_TAG else parse_tpmt(data)


def parse_tpmt(data: bytes) -> EccPublic:
    """Read a whole TPMT_PUBLIC of an ECC key, and nothing around it.

    Raises ``FormatError``: PUBLIC_TYPE for another kind of key, PUBLIC_NAME_ALG, PUBLIC_SYMMETRIC,
    PUBLIC_SCHEME, PUBLIC_KDF, PUBLIC_CURVE for algorithms unknown here, PUBLIC_POINT for a point
    off the curve, PUBLIC_TRUNCATED, PUBLIC_OVERSIZED, PUBLIC_TRAILING for damaged bytes.
    """
    reader = reader_of(data)
    if (kind := reader.u16("type")) != Algorithm.ECC:
        raise reader.fail("TYPE", f"key type {kind:#06x} is not an elliptic-curve key")
    common = read_common(reader)
    scheme, scheme_hash = _scheme(reader)
    curve_id = reader.u16("curveID")
    curve = CURVES.get(curve_id)
    if curve is None:
        raise reader.fail("CURVE", f"curve {curve_id:#06x} is neither P-256 nor P-384")
    _kdf(reader)
    x = _coordinate(reader, curve, "x")
    y = _coordinate(reader, curve, "y")
    reader.end()
    if not curve.holds(int.from_bytes(x, "big"), int.from_bytes(y, "big")):
        raise reader.fail("POINT", f"the public point does not lie on {curve.name}")
    return EccPublic(
        tpmt=data,
        name_alg=common.name_alg,
        attributes=common.attributes,
        auth_policy=common.auth_policy,
        symmetric=common.symmetric,
        scheme=scheme,
        scheme_hash=scheme_hash,
        curve=curve,
        x=x,
        y=y,
    )


def _without_size(data: bytes) -> bytes:
    # No ECC area is as short as its own type tag, so a leading tag is never a TPM2B size.
    leading = int.from_bytes(data[:2], "big")
    return data[2:] if leading == len(data) - 2 and leading != Algorithm.ECC else data


def _scheme(reader: Reader) -> tuple[int, int]:
    scheme = reader.u16("scheme")
    if scheme == Algorithm.NULL:
        return scheme, 0
    if scheme == Algorithm.ECDAA:
        hash_alg = reader.u16("scheme.hashAlg")
        reader.u16("scheme.count")
        return scheme, hash_alg
    if scheme in _HASH_SCHEMES:
        return scheme, reader.u16("scheme.hashAlg")
    raise reader.fail("SCHEME", f"scheme {scheme:#06x} is not an elliptic-curve scheme")


def _kdf(reader: Reader) -> None:
    if (kdf := reader.u16("kdf")) != Algorithm.NULL:
        raise reader.fail("KDF", f"key derivation scheme {kdf:#06x} is not supported")


def _coordinate(reader: Reader, curve: Curve, field: str) -> bytes:
    value = reader.sized(MAX_COORDINATE, field)
    if len(value) > curve.size:
        raise reader.fail("OVERSIZED", f"{field} holds {len(value)} bytes on {curve.name}")
    return value.rjust(curve.size, b"\0")


_AK_REQUIRED = (
    (Attribute.RESTRICTED, "RESTRICTED", "it would sign any forged attestation"),
    (Attribute.SIGN, "SIGN", "it is no signing key"),
    (Attribute.FIXED_TPM, "FIXED_TPM", "it may be duplicated to another TPM"),
    (Attribute.FIXED_PARENT, "FIXED_PARENT", "it may be moved to another parent"),
    (Attribute.SENSITIVE_DATA_ORIGIN, "DATA_ORIGIN", "its secret did not come from the TPM"),
)
_AK_ALLOWED = int(  # an int, so that its complement keeps the reserved bits
    Attribute.RESTRICTED
    | Attribute.SIGN
    | Attribute.FIXED_TPM
    | Attribute.FIXED_PARENT
    | Attribute.SENSITIVE_DATA_ORIGIN
    | Attribute.USER_WITH_AUTH
    | Attribute.ADMIN_WITH_POLICY
    | Attribute.ST_CLEAR
    | Attribute.NO_DA
)


def check_ak(public: EccPublic) -> None:
    """Refuse a key that is no attestation key (docs/formats.md, "What a signed head proves").

    Raises ``FormatError``: AK_NOT_RESTRICTED, AK_NOT_SIGN, AK_NOT_FIXED_TPM, AK_NOT_FIXED_PARENT,
    AK_NOT_DATA_ORIGIN, AK_DECRYPT, AK_ATTRIBUTES, AK_NAME_ALG, AK_CURVE, AK_SCHEME.
    """
    for attribute, word, consequence in _AK_REQUIRED:
        if not public.attributes & attribute:
            raise _no_ak(f"AK_NOT_{word}", f"the key lacks {attribute.name}: {consequence}")
    if public.attributes & Attribute.DECRYPT:
        raise _no_ak("AK_DECRYPT", "the key may also decrypt")
    if public.attributes & ~_AK_ALLOWED:
        raise _no_ak("AK_ATTRIBUTES", f"attributes {public.attributes:#010x} do not fit an AK")
    if public.name_alg is not Algorithm.SHA256:
        raise _no_ak("AK_NAME_ALG", f"its Name uses {public.name_alg.name}, not SHA-256")
    if public.curve is not P256:
        raise _no_ak("AK_CURVE", f"the key lies on {public.curve.name}, not P-256")
    if (public.scheme, public.scheme_hash) != (Algorithm.ECDSA, Algorithm.SHA256):
        raise _no_ak("AK_SCHEME", "its signing scheme is not ECDSA with SHA-256")


def _no_ak(code: str, message: str) -> FormatError:
    return FormatError(
        code,
        f"not an attestation key: {message}",
        remedy="Trust nothing this key signed; enrol the node with a key that its agent made.",
    )
