"""Custodians' keys: who may read what clearing removed (docs/formats.md, "Custody").

HPKE (RFC 9180), base mode, with HKDF-SHA256 and ChaCha20-Poly1305. A key is X25519 or, where its
PEM file holds an ML-KEM-768 key beside the X25519 one, the hybrid of both, which keeps what is
archived today from who has a quantum computer later.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke, serialization
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from swt3_agent.errors import FormatError

MAX_PEM_BYTES = 16 * 1024

PublicKey = X25519PublicKey | hpke.MLKEM768X25519PublicKey
PrivateKey = X25519PrivateKey | hpke.MLKEM768X25519PrivateKey

Classical = TypeVar("Classical")
Quantum = TypeVar("Quantum")

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----\r?\n?", re.DOTALL)
_X25519 = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_HYBRID = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


@dataclass(frozen=True, slots=True)
class Recipient:
    """A custodian's public key. ``key_id`` is the hex SHA-256 of its SubjectPublicKeyInfo, of the
    X25519 one followed by the ML-KEM one where it is hybrid; ``kem`` names the method."""

    key_id: str
    kem: str
    _key: PublicKey = field(repr=False)

    def seal(self, data_key: bytes, info: bytes) -> bytes:
        """``data_key`` so that only the custodian can read it: encapsulated key ‖ ciphertext."""
        return _suite(self.kem).encrypt(data_key, self._key, info)


@dataclass(frozen=True, slots=True)
class CustodianKey:
    """A custodian's private key."""

    recipient: Recipient
    _key: PrivateKey = field(repr=False)

    def unseal(self, sealed: bytes, info: bytes) -> bytes:
        """What ``Recipient.seal`` took. Raises FormatError ``CUSTODY_SEAL``."""
        try:
            return _suite(self.recipient.kem).decrypt(sealed, self._key, info)
        except (InvalidTag, ValueError) as error:
            raise FormatError(
                "CUSTODY_SEAL",
                "the key that the file was sealed with cannot be read with this private key",
                remedy="check that the file is whole: its header names this key's public half",
            ) from error


def read_recipient(pem: bytes) -> Recipient:
    """The custodian whose public key ``pem`` holds. Raises FormatError ``CUSTODIAN_KEY``."""
    keys = [_public(block) for block in _blocks(pem)]
    classical = [key for key in keys if isinstance(key, X25519PublicKey)]
    quantum = [key for key in keys if isinstance(key, MLKEM768PublicKey)]
    return _recipient(*_pair(len(keys), classical, quantum))


def read_custodian_key(pem: bytes) -> CustodianKey:
    """The custodian whose private key ``pem`` holds. Raises FormatError ``CUSTODIAN_KEY``."""
    keys = [_private(block) for block in _blocks(pem)]
    classical = [key for key in keys if isinstance(key, X25519PrivateKey)]
    quantum = [key for key in keys if isinstance(key, MLKEM768PrivateKey)]
    first, second = _pair(len(keys), classical, quantum)
    if second is None:
        return CustodianKey(_recipient(first.public_key(), None), first)
    return CustodianKey(
        _recipient(first.public_key(), second.public_key()),
        hpke.MLKEM768X25519PrivateKey(second, first),
    )


def generate_custodian(*, hybrid: bool = False) -> tuple[bytes, bytes]:
    """A new key pair as PEM: private (PKCS #8, not encrypted) and public half.

    Raises FormatError ``CUSTODIAN_KEY`` where the cryptographic library has no ML-KEM.
    """
    try:
        keys: list[X25519PrivateKey | MLKEM768PrivateKey] = [X25519PrivateKey.generate()]
        if hybrid:
            keys.append(MLKEM768PrivateKey.generate())
    except UnsupportedAlgorithm as error:
        raise _bad_key("this machine's cryptographic library has no ML-KEM") from error
    private = b"".join(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        for key in keys
    )
    public = b"".join(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        for key in keys
    )
    return private, public


def _suite(kem: str) -> hpke.Suite:
    return _X25519 if kem == "x25519" else _HYBRID


def _recipient(first: X25519PublicKey, second: MLKEM768PublicKey | None) -> Recipient:
    digest = sha256(_spki(first))
    if second is None:
        return Recipient(digest.hexdigest(), "x25519", first)
    digest.update(_spki(second))
    hybrid = hpke.MLKEM768X25519PublicKey(second, first)
    return Recipient(digest.hexdigest(), "mlkem768-x25519", hybrid)


def _spki(key: X25519PublicKey | MLKEM768PublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _blocks(pem: bytes) -> list[bytes]:
    if len(pem) > MAX_PEM_BYTES:
        raise _bad_key(f"a key file of {len(pem)} bytes is larger than {MAX_PEM_BYTES}")
    return [match[0] for match in _BLOCK.finditer(pem)]


def _public(block: bytes) -> object:
    if b"PRIVATE KEY-----" in block:
        raise _bad_key("the file holds a private key where a public one belongs")
    try:
        return serialization.load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _bad_key(f"a public key cannot be read: {error}") from error


def _private(block: bytes) -> object:
    try:
        return serialization.load_pem_private_key(block, None)
    except TypeError as error:
        raise _bad_key("the private key is encrypted with a passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        # its own words may quote what the file holds
        raise _bad_key("there is a PEM block that is no private key") from error


def _pair(
    found: int, classical: Sequence[Classical], quantum: Sequence[Quantum]
) -> tuple[Classical, Quantum | None]:
    if len(classical) != 1 or len(quantum) > 1 or found != len(classical) + len(quantum):
        raise _bad_key(f"{found} PEM keys, of which {len(classical)} X25519 keys")
    return classical[0], quantum[0] if quantum else None


def _bad_key(fault: str) -> FormatError:
    return FormatError(
        "CUSTODIAN_KEY",
        fault,
        remedy="give a PEM file with one X25519 key, alone or beside one ML-KEM-768 key: "
        "`swt3-agent custody keygen` makes such files",
    )
