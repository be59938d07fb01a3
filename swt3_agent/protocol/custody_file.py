"""The custody log: files of encrypted groups of entries (docs/formats.md, "Custody").

    file  = "swt3-custody/1\\n" | u32le n | header (n bytes of JSON) | frame …
    frame = u32le length | u8 type | ciphertext

Each file has a data key of its own, sealed to every recipient in its header. The additional data
of a frame name file, place and type, so that none can be moved, left out or put elsewhere unseen;
the last frame of a file that was finished says that it is the last.
"""

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from swt3_agent.errors import FormatError
from swt3_agent.protocol.custodian import CustodianKey, Recipient
from swt3_agent.protocol.custody import SECRET_SIZE, CustodyEntry, commitment
from swt3_agent.protocol.strict_json import MALFORMED

MAGIC = b"swt3-custody/1\n"
DATA_KEY_SIZE = 32
MAX_HEADER = 1 << 20
MAX_FRAME = 16 << 20
FRAME_HEAD = struct.Struct("<IB")
LENGTH = struct.Struct("<I")

_ENTRY = struct.Struct(f"<B{SECRET_SIZE}s32sHI")
_COUNT = struct.Struct("<Q")
_KEY_DOMAIN = b"swt3-agent:v1:custody-key:"
_FRAME_DOMAIN = b"swt3-agent:v1:custody-frame:"


class FrameType(IntEnum):
    """What a frame holds."""

    ENTRIES = 0
    END = 1


FileId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class SealedKey(msgspec.Struct, frozen=True):
    """A file's data key for one recipient: ``key`` is Base64."""

    recipient: str
    kem: str
    key: str


class Header(msgspec.Struct, frozen=True):
    """What a file says of itself in the clear: ``file`` is 32 hex digits, ``created_ms`` UTC."""

    file: FileId
    created_ms: int
    node: str
    log: str
    keys: list[SealedKey]


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """An entry as custody gives it back; ``record_digest`` is SHA-256 of what the journal keeps.

    The other members are those of ``CustodyEntry``.
    """

    tenant: str
    secret: bytes = field(repr=False)
    original: bytes = field(repr=False)
    record_digest: bytes
    level: int

    @property
    def commitment(self) -> str:
        """``original`` in the provenance of the record (64 hex digits)."""
        return commitment(self.secret, self.original)


class FrameCipher:
    """Frames of one file, to and fro. ``header`` is the file's header as it is in the file."""

    def __init__(self, data_key: bytes, header: bytes) -> None:
        self._aead = ChaCha20Poly1305(data_key)
        self._bound = _FRAME_DOMAIN + sha256(header).digest()

    def encrypt(self, number: int, kind: FrameType, plaintext: bytes) -> bytes:
        """The frame ``number`` of the file, counted from 0. None may be made twice."""
        ciphertext = self._aead.encrypt(_nonce(number), plaintext, self._additional(number, kind))
        return FRAME_HEAD.pack(len(ciphertext), kind) + ciphertext

    def decrypt(self, number: int, kind: int, ciphertext: bytes) -> bytes:
        """Raises FormatError ``CUSTODY_FRAME`` where it is not the frame of that number."""
        try:
            return self._aead.decrypt(
                _nonce(number), ciphertext, self._additional(number, FrameType(kind))
            )
        except (InvalidTag, ValueError) as error:
            raise _damaged("FRAME", f"frame {number} is not as it was written") from error

    def _additional(self, number: int, kind: FrameType) -> bytes:
        return self._bound + _COUNT.pack(number) + bytes([kind])


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "little")


def seal_header(
    recipients: Sequence[Recipient],
    data_key: bytes,
    *,
    file_id: bytes,
    created_ms: int,
    node_id: str,
    log_id: str,
) -> bytes:
    """The header of a new file; ``file_id`` are 16 random bytes."""
    info = _KEY_DOMAIN + file_id
    keys = [
        SealedKey(each.key_id, each.kem, base64.b64encode(each.seal(data_key, info)).decode())
        for each in recipients
    ]
    header = Header(file_id.hex(), created_ms, node_id, log_id, keys)
    return msgspec.json.encode(header, order="sorted")


def file_start(header: bytes) -> bytes:
    """What a file begins with."""
    return MAGIC + LENGTH.pack(len(header)) + header


def read_header(header: bytes) -> Header:
    """Raises FormatError ``CUSTODY_HEADER``."""
    try:
        parsed: Header = msgspec.json.decode(header, type=Header)
    except MALFORMED as error:
        raise _damaged("HEADER", f"the header is not one of a custody file: {error}") from error
    return parsed


def open_data_key(header: Header, key: CustodianKey) -> bytes:
    """The data key. Raises FormatError ``CUSTODY_NOT_FOR_THIS_KEY`` or as ``unseal``."""
    recipient = key.recipient
    for sealed in header.keys:
        if (sealed.recipient, sealed.kem) == (recipient.key_id, recipient.kem):
            break
    else:
        known = ", ".join(sealed.recipient[:16] for sealed in header.keys) or "nobody"
        raise FormatError(
            "CUSTODY_NOT_FOR_THIS_KEY",
            f"the file is sealed to {known}, not to {recipient.key_id[:16]}",
            remedy="use the private key of one of those; what they are called is the start of "
            "the SHA-256 of the public key",
        )
    try:
        ciphertext = base64.b64decode(sealed.key, validate=True)
    except ValueError as error:
        raise _damaged("HEADER", "a sealed key is not Base64") from error
    data_key = key.unseal(ciphertext, _KEY_DOMAIN + bytes.fromhex(header.file))
    if len(data_key) != DATA_KEY_SIZE:
        raise _damaged("HEADER", f"the sealed key has {len(data_key)} bytes")
    return data_key


def encode_entry(entry: CustodyEntry) -> bytes:
    """One entry: fixed part, tenant, original."""
    tenant = entry.tenant.encode()
    digest = sha256(entry.cleared).digest()
    fixed = _ENTRY.pack(entry.level, entry.secret, digest, len(tenant), len(entry.original))
    return fixed + tenant + entry.original


def decode_entries(plaintext: bytes) -> list[KeptEntry]:
    """The entries of a frame. Raises FormatError ``CUSTODY_ENTRY``."""
    entries: list[KeptEntry] = []
    at = 0
    try:
        while at < len(plaintext):
            level, secret, digest, n, m = _ENTRY.unpack_from(plaintext, at)
            at += _ENTRY.size
            tenant = plaintext[at : at + n].decode()
            original = plaintext[at + n : at + n + m]
            at += n + m
            entries.append(KeptEntry(tenant, secret, original, digest, level))
    except (struct.error, UnicodeDecodeError) as error:
        raise _damaged("ENTRY", f"an entry cannot be read: {error}") from error
    if at != len(plaintext):
        raise _damaged("ENTRY", "an entry is longer than its frame")
    return entries


def encode_end(count: int) -> bytes:
    """The content of the last frame: how many entries the file holds."""
    return _COUNT.pack(count)


def decode_end(plaintext: bytes) -> int:
    """Raises FormatError ``CUSTODY_ENTRY``."""
    try:
        count: int = _COUNT.unpack(plaintext)[0]
    except struct.error as error:
        raise _damaged("ENTRY", "the last frame holds no count") from error
    return count


def _damaged(what: str, fault: str) -> FormatError:
    return FormatError(
        f"CUSTODY_{what}", fault, remedy="take another copy of the file; what can be read is shown"
    )
