"""TPM2_MakeCredential without a TPM: a secret that only one TPM can open, and only with one key.

The TPM that holds the EK opens it with TPM2_ActivateCredential, and only if an object of the given
Name is loaded beside it. TPM 2.0 Part 1, 24 (credential protection), B.10.4 (RSA) and C.6.4 (ECC).
"""

import hmac
import secrets
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.hazmat.decrepit.ciphers.modes import CFB  # what the TPM specification demands
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from swt3_agent.errors import FormatError
from swt3_agent.tcg.algorithms import HASH_NAMES, Algorithm
from swt3_agent.tcg.curves import P256, P384, Curve
from swt3_agent.tcg.kdf import kdf_a, kdf_e
from swt3_agent.tcg.public import Attribute, EccPublic
from swt3_agent.tcg.public_fields import Symmetric
from swt3_agent.tcg.reader import sized
from swt3_agent.tcg.rsa_public import RsaPublic

EndorsementPublic: TypeAlias = EccPublic | RsaPublic

_HASHES: dict[Algorithm, type[HashAlgorithm]] = {
    Algorithm.SHA256: SHA256,
    Algorithm.SHA384: SHA384,
    Algorithm.SHA512: SHA512,
}
_CIPHERS = tuple(Symmetric(Algorithm.AES, bits, Algorithm.CFB) for bits in (128, 256))
_CURVES: dict[int, ec.EllipticCurve] = {
    P256.identifier: ec.SECP256R1(),
    P384.identifier: ec.SECP384R1(),
}
_REQUIRED = (
    (Attribute.RESTRICTED, "RESTRICTED"),
    (Attribute.DECRYPT, "DECRYPT"),
    (Attribute.FIXED_TPM, "FIXED_TPM"),
    (Attribute.FIXED_PARENT, "FIXED_PARENT"),
    (Attribute.SENSITIVE_DATA_ORIGIN, "SENSITIVE_DATA_ORIGIN"),
)


@dataclass(frozen=True, slots=True)
class Credential:
    """What TPM2_ActivateCredential takes: the bodies of TPM2B_ID_OBJECT and
    TPM2B_ENCRYPTED_SECRET, without their sizes."""

    id_object: bytes
    encrypted_secret: bytes


def check_ek(public: EndorsementPublic) -> None:
    """Refuse a key that no TPM has for an endorsement key, or that takes no credential here.

    An EK decrypts for its TPM alone, and never signs (TCG EK Credential Profile, "Default EK
    Template"). Raises ``FormatError`` EK_ATTRIBUTES or EK_ALGORITHM.
    """
    for attribute, word in _REQUIRED:
        if not public.attributes & attribute:
            raise _no_ek("EK_ATTRIBUTES", f"the key lacks {word}")
    if public.attributes & Attribute.SIGN:
        raise _no_ek("EK_ATTRIBUTES", "the key may also sign")
    if public.name_alg not in _HASHES:
        raise _no_ek("EK_ALGORITHM", f"its Name uses {public.name_alg.name}")
    if public.symmetric not in _CIPHERS:
        raise _no_ek("EK_ALGORITHM", "it protects credentials with no AES of 128 or 256 bits")


def make_credential(
    ek: EndorsementPublic,
    name: bytes,
    secret: bytes,
    *,
    seed: bytes | None = None,
    ephemeral: ec.EllipticCurvePrivateKey | None = None,
) -> Credential:
    """``secret``, which only the TPM of ``ek`` gives out, and only beside the object ``name``.

    ``name`` is a TPM Name; ``secret`` at most as long as a digest of the EK's nameAlg. ``seed``
    (RSA: a digest long) and ``ephemeral`` (ECC: a key on the EK's curve) are drawn at random
    unless a test gives them.

    Raises ``FormatError`` as ``check_ek`` does; ValueError for a secret that is too long.
    """
    check_ek(ek)
    hash_alg = ek.name_alg
    bits = 8 * _HASHES[hash_alg]().digest_size
    if len(secret) > bits // 8:
        raise ValueError(f"a secret of {len(secret)} bytes: at most {bits // 8} fit")
    if isinstance(ek, RsaPublic):
        seed = secrets.token_bytes(bits // 8) if seed is None else seed
        encrypted_secret = _wrap(ek, seed)
    else:
        seed, encrypted_secret = _agree(ek, bits, ephemeral)
    cipher_key = kdf_a(hash_alg, seed, b"STORAGE", name, b"", ek.symmetric.bits)
    encryptor = Cipher(AES(cipher_key), CFB(bytes(16))).encryptor()
    identity = encryptor.update(sized(secret)) + encryptor.finalize()
    mac_key = kdf_a(hash_alg, seed, b"INTEGRITY", b"", b"", bits)
    integrity = hmac.digest(mac_key, identity + name, HASH_NAMES[hash_alg])
    return Credential(sized(integrity) + identity, encrypted_secret)


def _wrap(ek: RsaPublic, seed: bytes) -> bytes:
    """RSA: the seed by OAEP, whose label goes with its terminating zero."""
    chosen = _HASHES[ek.name_alg]
    oaep = padding.OAEP(padding.MGF1(chosen()), chosen(), b"IDENTITY\0")
    return ek.public_key().encrypt(seed, oaep)


def _agree(
    ek: EccPublic, bits: int, ephemeral: ec.EllipticCurvePrivateKey | None
) -> tuple[bytes, bytes]:
    """ECC: the seed by one-pass Diffie-Hellman, and the TPMS_ECC_POINT that leads to it."""
    curve = _CURVES[ek.curve.identifier]
    ephemeral = ec.generate_private_key(curve) if ephemeral is None else ephemeral
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + ek.x + ek.y)
    shared_x = ephemeral.exchange(ec.ECDH(), theirs)
    x, y = _coordinates(ephemeral, ek.curve)
    seed = kdf_e(ek.name_alg, shared_x, b"IDENTITY", x, ek.x, bits)
    return seed, sized(x) + sized(y)


def _coordinates(key: ec.EllipticCurvePrivateKey, curve: Curve) -> tuple[bytes, bytes]:
    numbers = key.public_key().public_numbers()
    return numbers.x.to_bytes(curve.size, "big"), numbers.y.to_bytes(curve.size, "big")


def _no_ek(code: str, message: str) -> FormatError:
    return FormatError(
        code,
        f"no endorsement key that can be challenged: {message}",
        remedy="use another endorsement key of the same TPM",
    )
