"""The Ed25519 private keys with which a verifier's word is signed."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from swt3_agent.errors import FormatError


def read_private_key(code: str, pem: bytes, *, whose: str, remedy: str) -> Ed25519PrivateKey:
    """``whose`` private key is in a PEM file. Raises FormatError ``code``, with ``remedy``."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise FormatError(code, f"{whose} key cannot be read: {error}", remedy=remedy) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise FormatError(code, f"{whose} key is not an Ed25519 key", remedy=remedy)
    return key
