"""The three files of an enrolment, and what binds each to the one before it
(docs/formats.md, "Enrolment").

    request    the node     who it is, its keys, a head that its AK signed
    challenge  the enroller a secret that only the TPM of the EK opens, and only beside that AK
    answer     the node     a MAC under the secret, and a quote made after it was opened

Each is the RFC 8785 form of one JSON object and a newline, and has that one spelling. Nothing here
is judged: that is the enroller's (verify/enrolment).
"""

import hmac
from hashlib import sha256
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.note import MAX_NOTE
from swt3_agent.protocol.strict_json import MALFORMED

REQUEST_FORMAT = "swt3-agent/enrol-request/1"
CHALLENGE_FORMAT = "swt3-agent/enrol-challenge/1"
ANSWER_FORMAT = "swt3-agent/enrol-answer/1"
MAX_ENROLMENT_FILE = 192 * 1024
"""Bytes: the request is the largest, with a head and the certificates of its EKs."""

SECRET_SIZE = 32
NONCE_SIZE = 31  # a challenge to the AK, never a checkpoint (docs/formats.md, "Challenge quote")
ACTIVATION_DOMAIN = b"swt3-agent:v1:enrol-activation:"
QUOTE_DOMAIN = b"swt3-agent:v1:enrol-quote:"
COUNTER_DOMAIN = b"swt3-agent:v1:enrol-counter:"

_MAX_DEPTH = 4
_END_OF_TIME_MS = 253_402_300_799_999  # 9999-12-31

Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
NodeId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
LogId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16,64}\Z")]
Name = Annotated[str, Meta(pattern=r"\A000b[0-9a-f]{64}\Z")]
Template = Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,32}\Z")]
Text = Annotated[str, Meta(pattern=r"\A[ -~]{0,128}\Z")]
Milliseconds = Annotated[int, Meta(ge=0, le=_END_OF_TIME_MS)]
Public = Annotated[bytes, Meta(min_length=1, max_length=1024)]
Attestation = Annotated[bytes, Meta(min_length=1, max_length=4096)]
Signature = Annotated[bytes, Meta(min_length=1, max_length=128)]
Certificate = Annotated[bytes, Meta(min_length=1, max_length=16 * 1024)]
PcrIndex = Annotated[str, Meta(pattern=r"\A(?:[0-9]|1[0-9]|2[0-3])\Z")]
Pcrs = dict[PcrIndex, Digest]


class TpmClaim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the TPM says of itself, and ``kind`` what the node makes of it: its word, no more."""

    kind: Annotated[str, Meta(pattern=r"\A(?:tpm|software-tpm)\Z")]
    manufacturer: Text
    vendor: Text
    firmware: Text


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For the human who enrols, to find the machine; nobody vouches for it."""

    hostname: Text
    product: Text


class EnrolmentKey(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """One EK: the template it was made from, its TPMT_PUBLIC and the DER certificate from NV."""

    template: Template
    public: Public
    certificate: Certificate | None = None


class HeadEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signed head with what it takes to check its quote, as in a proof."""

    checkpoint: Annotated[str, Meta(max_length=MAX_NOTE)]
    log_pcr: Annotated[int, Meta(ge=0, le=23)]
    before: Digest
    pcrs: Pcrs


class CounterEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The gapless counter: TPMS_NV_PUBLIC, and TPM2_NV_Certify over ``counter_data``."""

    public: Public
    attest: Attestation
    signature: Signature


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a node says of itself. Its head, and its counter where it keeps one, are signed by the
    AK; that this AK lives beside one of the EKs is what the challenge is to show. ``ak_parent`` is
    the Name of the primary that the AK hangs under."""

    format: str
    node_id: NodeId
    log_id: LogId
    agent: Text
    time_ms: Milliseconds
    machine: Machine
    tpm: TpmClaim
    ak_public: Public
    ak_parent: Name
    endorsement_keys: Annotated[list[EnrolmentKey], Meta(min_length=1, max_length=8)]
    head: HeadEvidence
    counter: CounterEvidence | None = None


class Challenge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A credential for the EK made from ``template``, whose SubjectPublicKeyInfo has the SHA-256
    ``ek``; ``request`` is that of the request file. ``credential`` and ``secret`` are the bodies of
    TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET."""

    format: str
    request: Digest
    node_id: NodeId
    ak_name: Name
    template: Template
    ek: Digest
    time_ms: Milliseconds
    credential: Annotated[bytes, Meta(min_length=1, max_length=512)]
    secret: Annotated[bytes, Meta(min_length=1, max_length=1024)]


class AnswerQuote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quote over ``quote_nonce`` of the registers that a checkpoint quotes."""

    attest: Attestation
    signature: Signature
    pcrs: Pcrs


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``activation`` shows that the secret was opened, and does not show the secret."""

    format: str
    request: Digest
    challenge: Digest
    ak_name: Name
    activation: Digest
    quote: AnswerQuote


File = TypeVar("File", Request, Challenge, Answer)

_FORMATS: dict[type[msgspec.Struct], str] = {
    Request: REQUEST_FORMAT,
    Challenge: CHALLENGE_FORMAT,
    Answer: ANSWER_FORMAT,
}


def encode_file(file: Request | Challenge | Answer) -> bytes:
    """The file; the same content always gives the same bytes.

    RFC 8785, since all that it holds is printable text, integers below 2^53 and ASCII keys.
    """
    return msgspec.json.encode(file, order="sorted") + b"\n"


def decode_file(data: bytes, kind: type[File]) -> File:
    """The file in ``data``: strict, so that ``encode_file`` gives the same bytes again.

    Raises FormatError ``ENROL_FORMAT_UNKNOWN`` for JSON that claims to be something else, and
    ``ENROL_FILE`` for what is too large, no JSON, another spelling, or has a field that is missing,
    unknown or malformed.
    """
    wanted = _FORMATS[kind]
    try:
        tree = strict_json.loads(data, max_bytes=MAX_ENROLMENT_FILE, max_depth=_MAX_DEPTH)
    except FormatError as error:
        raise _damaged(wanted, error.message) from None
    if not isinstance(tree, dict) or tree.get("format") != wanted:
        raise FormatError(
            "ENROL_FORMAT_UNKNOWN",
            f"the file does not name the format {wanted}",
            remedy="give the file of that step: request, challenge or answer, in this order",
        )
    try:
        file = msgspec.convert(tree, kind)
    except MALFORMED as error:
        raise _damaged(wanted, f"a field is wrong: {str(error)[:200]}") from None
    if encode_file(file) != data:
        raise _damaged(wanted, "it is not spelled as the format says")
    return file


def file_digest(data: bytes) -> str:
    """How a later file names the file ``data``: its SHA-256, in hex."""
    return sha256(data).hexdigest()


def activation_mac(secret: bytes, request: str, challenge: str) -> str:
    """``activation`` of the answer: HMAC-SHA-256 under the secret, over both files' digests (hex);
    in hex."""
    message = ACTIVATION_DOMAIN + bytes.fromhex(request) + bytes.fromhex(challenge)
    return hmac.digest(secret, message, "sha256").hex()


def quote_nonce(challenge: str, activation: str) -> bytes:
    """What the answer's quote must carry, 31 bytes: it was made after the secret was opened."""
    message = QUOTE_DOMAIN + bytes.fromhex(challenge) + bytes.fromhex(activation)
    return sha256(message).digest()[:NONCE_SIZE]


def counter_data(note_body: bytes) -> bytes:
    """What the request's counter certificate must carry: it was made after the request's head.

    Not that of a counter record, so that no request can pass for one.
    """
    return sha256(COUNTER_DOMAIN + note_body).digest()


def _damaged(wanted: str, what: str) -> FormatError:
    return FormatError(
        "ENROL_FILE",
        f"not a file of the format {wanted}: {what}",
        remedy="copy the file again from where it was made, byte for byte",
    )
