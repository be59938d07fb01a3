"""DSSE envelopes: a payload, its type, and signatures over both (docs/formats.md, "Statements").

https://github.com/secure-systems-lab/dsse, version 1.0. Nothing here verifies a signature.
"""

from base64 import b64decode
from binascii import Error as BinasciiError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.note import encode_base64

MAX_ENVELOPE = 2 * 1024 * 1024
MAX_SIGNATURES = 16
_MAX_DEPTH = 16
_URL_SAFE = b"-_"
_URL_SAFE_ONLY = frozenset(_URL_SAFE)


@dataclass(frozen=True, slots=True)
class EnvelopeSignature:
    """``keyid`` is a hint that nobody signed; ``signature`` is what a key made over the PAE."""

    keyid: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is signed is ``pae(payload_type, payload)``."""

    payload_type: str
    payload: bytes
    signatures: tuple[EnvelopeSignature, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: the bytes that a key signs. They begin with ``DSSEv1``, so
    that no TPM takes them for an attestation of its own."""
    name = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def encode_envelope(envelope: Envelope) -> bytes:
    """The envelope as canonical JSON (RFC 8785: texts under ASCII keys, sorted) and a newline."""
    tree = {
        "payload": encode_base64(envelope.payload),
        "payloadType": envelope.payload_type,
        "signatures": [
            {"keyid": line.keyid, "sig": encode_base64(line.signature)}
            for line in envelope.signatures
        ],
    }
    return msgspec.json.encode(tree, order="sorted") + b"\n"


def decode_envelope(data: bytes) -> Envelope:
    """The envelope in ``data``, in any spelling: members that nobody knows are ignored, and Base 64
    may be the URL-safe one.

    Raises FormatError ``DSSE_FORMAT``, ``DSSE_TOO_LARGE``, ``DSSE_BASE64`` or ``DSSE_SIGNATURES``.
    """
    if len(data) > MAX_ENVELOPE:
        raise dsse_error("TOO_LARGE", f"{len(data)} bytes, and {MAX_ENVELOPE} is the most")
    try:
        tree = strict_json.loads(data, max_bytes=MAX_ENVELOPE, max_depth=_MAX_DEPTH)
    except FormatError as error:
        raise dsse_error("FORMAT", error.message) from None
    if not isinstance(tree, dict):
        raise dsse_error("FORMAT", "it is no JSON object")
    payload, payload_type = tree.get("payload"), tree.get("payloadType")
    lines = tree.get("signatures")
    if not isinstance(payload, str) or not isinstance(payload_type, str):
        raise dsse_error("FORMAT", "it has no payload and payloadType")
    if not isinstance(lines, list) or not 0 < len(lines) <= MAX_SIGNATURES:
        raise dsse_error("SIGNATURES", f"it does not have 1 to {MAX_SIGNATURES} signatures")
    return Envelope(payload_type, _decoded(payload), tuple(map(_signature, lines)))


def _signature(line: object) -> EnvelopeSignature:
    if not isinstance(line, Mapping):
        raise dsse_error("SIGNATURES", "a signature in it is no object")
    keyid, signature = line.get("keyid", ""), line.get("sig")
    if not isinstance(keyid, str) or not isinstance(signature, str):
        raise dsse_error("SIGNATURES", "a signature in it has no sig, or a keyid that is no text")
    return EnvelopeSignature(keyid, _decoded(signature))


def _decoded(text: str) -> bytes:
    try:
        raw = text.encode("ascii")
        return b64decode(raw, _URL_SAFE if _URL_SAFE_ONLY & set(raw) else None, validate=True)
    except (BinasciiError, UnicodeEncodeError):
        raise dsse_error("BASE64", "what should be Base 64 in it is not") from None


def signers(lines: Sequence[EnvelopeSignature], keyid: str) -> list[EnvelopeSignature]:
    """The signatures in the order in which to try a key: first those that hint at it."""
    return sorted(lines, key=lambda line: line.keyid != keyid)


def dsse_error(code: str, message: str) -> FormatError:
    """Bytes that are no envelope."""
    return FormatError(
        f"DSSE_{code}",
        f"not a DSSE envelope: {message}",
        remedy="fetch the envelope again from where it was made, byte for byte",
    )
