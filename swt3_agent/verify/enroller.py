"""The enroller's side: sign a trust file."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swt3_agent.errors import FormatError
from swt3_agent.protocol.note import NoteSignature, encode_note
from swt3_agent.protocol.trust import parse_trust_body


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
