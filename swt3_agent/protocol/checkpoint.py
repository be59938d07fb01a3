"""Checkpoints: log heads as signed notes whose signature is a TPM quote.

docs/formats.md, "Checkpoint note"; https://c2sp.org/tlog-checkpoint. The text of a note:

    swt3-agent/<node_id>/<log_id>
    <size>
    <base64 root>
    t=<utc ms> boot=<boot id> prev=<base64 SHA-256 of the previous note's text> ctr=<n>
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from hmac import new as new_hmac
from struct import Struct
from typing import NamedTuple

from swt3_agent.errors import FormatError
from swt3_agent.protocol.log_tree import HASH_SIZE
from swt3_agent.protocol.note import (
    NoteSignature,
    decode_base64,
    encode_base64,
    encode_note,
    key_id,
    parse_note,
)

SIGNATURE_NAME = "swt3/tpm2-quote/v1"
SIGNATURE_TYPE = b"\xff" + SIGNATURE_NAME.encode()
CHECKPOINT_DOMAIN = b"swt3-agent:v1:checkpoint:"
FIRST_PREVIOUS = bytes(HASH_SIZE)
"""``previous`` of the first note of a log."""

BOOT_PCRS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14)
"""What every checkpoint quotes beside the log PCR."""
DEFAULT_LOG_PCR = 13
LOG_PCRS = frozenset({10, 11, 12, 13, 15})
"""PCRs that may hold the log: root can extend but not reset them, and no boot stage that a
checkpoint quotes for its own sake writes there."""

_MAX_U64 = 2**64 - 1
_BODY = re.compile(
    r"swt3-agent/(?P<node_id>[0-9a-f]{32})/(?P<log_id>[0-9a-f]{16,64})\n"
    r"(?P<size>0|[1-9][0-9]{0,19})\n"
    r"(?P<root>[A-Za-z0-9+/]{43}=)\n"
    r"t=(?P<utc_ms>0|[1-9][0-9]{0,19}) boot=(?P<boot_id>[0-9A-Za-z-]{1,64})"
    r" prev=(?P<previous>[A-Za-z0-9+/]{43}=) ctr=(?P<counter>0|[1-9][0-9]{0,19})\n"
)
_u16 = Struct(">H")


@dataclass(frozen=True, slots=True)
class CheckpointNote:
    """One log head: ``root`` over the first ``size`` records, as the node states it.

    ``utc_ms`` is the node's wall clock; ``previous`` the digest of the note before, 32 zero bytes
    for the first; ``counter`` the gapless NV counter, 0 while none is kept.
    """

    node_id: str
    log_id: str
    size: int
    root: bytes
    utc_ms: int
    boot_id: str
    previous: bytes
    counter: int

    @property
    def origin(self) -> str:
        """First line of the text, and the key name in its signature line."""
        return f"swt3-agent/{self.node_id}/{self.log_id}"

    def body(self) -> bytes:
        """The signed text, with its last newline."""
        return (
            f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n"
            f"t={self.utc_ms} boot={self.boot_id} prev={encode_base64(self.previous)}"
            f" ctr={self.counter}\n"
        ).encode()

    def digest(self) -> bytes:
        """SHA-256 of the text: what extends the log PCR, and ``previous`` of the next note."""
        return sha256(self.body()).digest()


class QuoteSignature(NamedTuple):
    """The two halves of a note signature: TPMS_ATTEST, and the DER ECDSA signature over it."""

    attest: bytes
    signature_der: bytes


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A note with its signature lines; an unsigned note (a node without TPM) has none."""

    body: bytes
    note: CheckpointNote
    signatures: tuple[NoteSignature, ...]

    def signature_of(self, spki_der: bytes) -> NoteSignature | None:
        """The line that names the origin and this key, if there is one."""
        name, wanted = self.note.origin, note_key_id(self.note.origin, spki_der)
        for line in self.signatures:
            if line.name == name and line.key_id == wanted:
                return line
        return None


def node_id(machine_id: str) -> str:
    """32 hex characters that name a node without giving its machine id away.

    HMAC-SHA-256 keyed with the text of the machine id (32 hex digits, machine-id(5)) over
    ``swt3-agent``, first 16 bytes. Raises FormatError ``MACHINE_ID`` for any other text.
    """
    text = machine_id.strip()
    if not re.fullmatch("[0-9a-f]{32}", text):
        raise FormatError(
            "MACHINE_ID",
            "the machine id is not 32 lowercase hex digits",
            remedy="let systemd-machine-id-setup write /etc/machine-id",
        )
    return new_hmac(text.encode(), b"swt3-agent", sha256).hexdigest()[:32]


def parse_body(body: bytes) -> CheckpointNote:
    """The note whose ``body()`` is ``body``. Raises FormatError ``NOTE_BODY`` if there is none."""
    try:
        match = _BODY.fullmatch(body.decode("ascii"))
    except UnicodeDecodeError:
        match = None
    if match is None:
        raise _body_error("it is not the four lines of a log head")
    try:
        note = CheckpointNote(
            node_id=match["node_id"],
            log_id=match["log_id"],
            size=int(match["size"]),
            root=decode_base64(match["root"]),
            utc_ms=int(match["utc_ms"]),
            boot_id=match["boot_id"],
            previous=decode_base64(match["previous"]),
            counter=int(match["counter"]),
        )
    except ValueError as error:
        raise _body_error(f"a hash in it is {error}") from None
    if max(note.size, note.utc_ms, note.counter) > _MAX_U64:
        raise _body_error("a number in it is larger than 64 bits")
    return note


def note_key_id(origin: str, spki_der: bytes) -> bytes:
    """Key id of an AK in the signature line: over name, 0xff ‖ ``SIGNATURE_NAME``, and SPKI."""
    return key_id(origin, SIGNATURE_TYPE, spki_der)


def signed_note(body: bytes, attest: bytes, signature_der: bytes, spki_der: bytes) -> bytes:
    """The note over ``body`` with the quote as its signature.

    ``attest`` is the TPMS_ATTEST, ``signature_der`` the AK's ECDSA signature over it, ``spki_der``
    the AK. Raises FormatError ``NOTE_BODY`` for a body that is no checkpoint.
    """
    origin = parse_body(body).origin
    blob = _u16.pack(len(attest)) + attest + _u16.pack(len(signature_der)) + signature_der
    return encode_note(body, [NoteSignature(origin, note_key_id(origin, spki_der), blob)])


def parse_signed_note(data: bytes) -> SignedNote:
    """A checkpoint from its signed note, or from its text alone, which is an unsigned note.

    Raises FormatError ``NOTE_FORMAT`` or ``NOTE_BODY``.
    """
    body, signatures = parse_note(data) if b"\n\n" in data else (data, ())
    return SignedNote(body, parse_body(body), signatures)


def parse_quote_signature(signature: bytes) -> QuoteSignature:
    """Attestation and DER signature from the signature of a note line.

    u16be length ‖ TPMS_ATTEST ‖ u16be length ‖ DER ECDSA, and nothing after. Raises FormatError
    ``NOTE_SIGNATURE_FORMAT``.
    """
    parts, at = [], 0
    for _ in range(2):
        end = at + _u16.size
        if end <= len(signature):
            end += _u16.unpack_from(signature, at)[0]
        parts.append(signature[at + _u16.size : end])
        at = end
    if at != len(signature) or not all(parts):
        raise FormatError(
            "NOTE_SIGNATURE_FORMAT",
            "the note's signature is not an attestation and a signature with their lengths",
            remedy="obtain the note again from the node's journal",
        )
    return QuoteSignature(*parts)


def qualifying_data(body: bytes) -> bytes:
    """What the quote must carry: 32 bytes, SHA-256(``CHECKPOINT_DOMAIN`` ‖ body).

    A challenge carries 8 to 31 bytes, so it can never pass for a checkpoint.
    """
    return sha256(CHECKPOINT_DOMAIN + body).digest()


def extended(pcr_before: bytes, body: bytes) -> bytes:
    """Value of the log PCR after SHA-256(body) was extended into it."""
    return sha256(pcr_before + sha256(body).digest()).digest()


def quoted_pcrs(log_pcr: int = DEFAULT_LOG_PCR) -> tuple[int, ...]:
    """PCRs of the SHA-256 bank that a checkpoint quotes, ascending.

    Raises FormatError ``LOG_PCR`` for a register that cannot hold the log.
    """
    if log_pcr not in LOG_PCRS:
        raise FormatError(
            "LOG_PCR",
            f"PCR {log_pcr} cannot hold the log",
            remedy=f"use one of {', '.join(map(str, sorted(LOG_PCRS)))}",
        )
    return tuple(sorted((*BOOT_PCRS, log_pcr)))


QUOTED_PCRS = quoted_pcrs()


def _body_error(what: str) -> FormatError:
    return FormatError(
        "NOTE_BODY",
        f"not a checkpoint: {what}",
        remedy="fetch the file again from where it was made: it is damaged or was edited",
    )
