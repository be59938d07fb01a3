"""The enroller's side: his key, and the trust files that he signs with it."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from swt3_agent.errors import FormatError
from swt3_agent.protocol.note import NoteSignature, encode_note
from swt3_agent.protocol.trust import parse_trust_body
from swt3_agent.verify.private_key import read_private_key

_HOW = "make one with `swt3-agent enroll keygen -o enroller.pem`"


def generate_enroller_key() -> bytes:
    """A new Ed25519 private key as PEM (PKCS 8)."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def enroller_key(pem: bytes) -> Ed25519PrivateKey:
    """The private key in a PEM file. Raises FormatError ``ENROLLER_KEY``."""
    return read_private_key("ENROLLER_KEY", pem, whose="the enroller's", remedy=_HOW)


def enroller_public_key(private_key: Ed25519PrivateKey) -> bytes:
    """What a ``TrustStatement`` holds of the key: 32 bytes (RFC 8032)."""
    return private_key.public_key().public_bytes_raw()


def sign_trust(body: bytes, private_key: Ed25519PrivateKey) -> bytes:
    """The trust file over ``body``, which ``TrustStatement.body()`` made.

    Raises FormatError ``TRUST_BODY`` or ``TRUST_FORMAT_UNKNOWN`` for another text, and
    ``TRUST_SIGNER`` where the text names another key.
    """
    statement = parse_trust_body(body)
    if statement.enroller_key != enroller_public_key(private_key):
        raise FormatError(
            "TRUST_SIGNER",
            f"the text names another key of {statement.enroller} than the one that signs",
            remedy="put the signing key's public half into the statement",
        )
    signature = private_key.sign(body)
    return encode_note(body, [NoteSignature(statement.enroller, statement.key_id(), signature)])
