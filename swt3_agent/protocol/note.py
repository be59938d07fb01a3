"""C2SP signed notes: text, a blank line, signature lines (https://c2sp.org/signed-note).

Checkpoints and trust files are signed notes. Nothing here verifies a signature; that takes a key
and belongs to the verifier.
"""

from base64 import b64decode, b64encode
from binascii import Error as BinasciiError
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from swt3_agent.errors import FormatError

MAX_NOTE = 64 * 1024
MAX_SIGNATURES = 16
KEY_ID_SIZE = 4
ED25519_TYPE = b"\x01"

_DASH = "\u2014 "


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: who signed, the 4-byte id of the key, and what the key made."""

    name: str
    key_id: bytes
    signature: bytes


def key_id(name: str, signature_type: bytes, public_key: bytes) -> bytes:
    """First 4 bytes of SHA-256(name ‖ newline ‖ type ‖ public key) (signed-note, Signatures)."""
    return sha256(name.encode() + b"\n" + signature_type + public_key).digest()[:KEY_ID_SIZE]


def encode_note(text: bytes, signatures: Sequence[NoteSignature]) -> bytes:
    """The signed note over ``text``, which ends in a newline."""
    lines = [
        f"{_DASH}{line.name} {encode_base64(line.key_id + line.signature)}\n" for line in signatures
    ]
    return text + b"\n" + "".join(lines).encode()


def parse_note(data: bytes) -> tuple[bytes, tuple[NoteSignature, ...]]:
    """Text (with its last newline) and signature lines of a signed note.

    Raises FormatError ``NOTE_FORMAT`` unless ``data`` is what ``encode_note`` makes of the result.
    """
    if len(data) > MAX_NOTE:
        raise _format_error(f"a note of {len(data)} bytes is larger than {MAX_NOTE}")
    text, blank, tail = data.rpartition(b"\n\n")
    if not blank:
        raise _format_error("no blank line parts text and signatures")
    text += b"\n"
    if any(byte < 0x20 and byte != 0x0A for byte in data):
        raise _format_error("it holds a control character")
    try:
        text.decode()
        lines = tail.decode().split("\n")
    except UnicodeDecodeError as error:
        raise _format_error(f"it is not UTF-8 ({error.reason})") from None
    if lines.pop() != "":
        raise _format_error("its last line does not end in a newline")
    if not 0 < len(lines) <= MAX_SIGNATURES:
        raise _format_error(f"it has {len(lines)} signature lines, not 1 to {MAX_SIGNATURES}")
    return text, tuple(_parse_signature(line) for line in lines)


def encode_base64(data: bytes) -> str:
    """Standard Base 64 with padding (RFC 4648 section 4)."""
    return b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """The bytes of which ``text`` is the one encoding; ValueError otherwise."""
    try:
        data = b64decode(text.encode("ascii"), validate=True)
    except (BinasciiError, UnicodeEncodeError):
        raise ValueError("not Base 64") from None
    if encode_base64(data) != text:
        raise ValueError("not the canonical Base 64 of its bytes")
    return data


def _parse_signature(line: str) -> NoteSignature:
    name, space, encoded = line.removeprefix(_DASH).rpartition(" ")
    if not line.startswith(_DASH) or not space:
        raise _format_error("a signature line is not of the form '\u2014 NAME BASE64'")
    if not name or "+" in name or any(char.isspace() for char in name):
        raise _format_error("the name in a signature line is empty or holds a space or a plus")
    try:
        blob = decode_base64(encoded)
    except ValueError as error:
        raise _format_error(f"the signature of {name[:64]!a} is {error}") from None
    if len(blob) <= KEY_ID_SIZE:
        raise _format_error(f"the signature of {name[:64]!a} is empty")
    return NoteSignature(name, blob[:KEY_ID_SIZE], blob[KEY_ID_SIZE:])


def _format_error(what: str) -> FormatError:
    return FormatError(
        "NOTE_FORMAT",
        f"not a signed note: {what}",
        remedy="fetch the file again from where it was made: it is damaged or was edited",
    )
