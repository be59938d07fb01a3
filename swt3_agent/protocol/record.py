"""Journal records and the frames that carry them (docs/formats.md, "Record and segment").

    frame = u32le length | u32le CRC-32 | body
    body  = u8 version | u8 kind | u16le flags | u64le seq | u64le received_ns
          | u32le n | provenance (n bytes) | u32le m | payload (m bytes)

A segment is preallocated with zeros, so a zero length word means "end of data". The CRC tells
damage from data; it is no defence against anyone: that is what the log tree is for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from struct import error as StructError  # noqa: N812  # it is an exception, and reads like one
from zlib import crc32

from swt3_agent.errors import FormatError

RECORD_VERSION = 1
MAX_BODY = 8 * 1024 * 1024
"""Bytes. A body holds at most one intake message (4 MiB) and what we say about it."""

FLAG_COMMIT_START = 0x0001
"""First record of a group commit. A later commit start proves that everything before it had been
synced to disk, which is how damage is told from a torn tail."""

FLAG_COMMIT_END = 0x0002
"""Last record of a group commit. A commit without its end was never acknowledged, and is cut whole
after a crash."""

KNOWN_FLAGS = FLAG_COMMIT_START | FLAG_COMMIT_END

FRAME_HEAD = Struct("<II")
_BODY_HEAD = Struct("<BBHQQI")
_COUNT = Struct("<I")
_MIN_BODY = _BODY_HEAD.size + _COUNT.size

_pack_frame_head = FRAME_HEAD.pack
_pack_body_head = _BODY_HEAD.pack
_pack_count = _COUNT.pack


class Kind(IntEnum):
    """What a record is. Numbers are pinned for ever; a new kind takes a new number."""

    MINTED = 1
    RELAYED = 2
    OPAQUE = 3
    EVIDENCE = 4
    CHECKPOINT = 5
    COUNTER_INTENT = 6
    COUNTER_CERT = 7
    RECEIPT = 8
    QUARANTINE = 9
    BASELINE = 10
    KEY = 11
    GAP = 12
    TOMBSTONE = 13
    BOOT = 14

    @property
    def label(self) -> str:
        """The name in JSON output and in documents, e.g. ``counter-intent``."""
        return _LABELS[self]


_LABELS = {kind: kind.name.lower().replace("_", "-") for kind in Kind}
_KINDS = {int(kind): kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of the log: ``seq`` is its leaf index, from 0; ``received_ns`` is UTC.

    ``provenance`` is RFC 8785 JSON that says where the record came from; ``payload`` is the exact
    bytes, never re-encoded.
    """

    seq: int
    kind: Kind
    flags: int
    received_ns: int
    provenance: bytes
    payload: bytes


def encode_frame(
    seq: int, kind: int, flags: int, received_ns: int, provenance: bytes, payload: bytes
) -> bytes:
    """The frame of one record.

    Raises FormatError ``FRAME_FIELD`` where a field does not fit its place.
    """
    try:
        body = (
            _pack_body_head(RECORD_VERSION, kind, flags, seq, received_ns, len(provenance))
            + provenance
            + _pack_count(len(payload))
            + payload
        )
    except StructError as error:
        raise _field_error(f"a field of record {seq} does not fit: {error}") from None
    if len(body) > MAX_BODY or kind not in _KINDS or flags & ~KNOWN_FLAGS:
        raise _field_error(_why_not_encodable(seq, kind, flags, len(body)))
    return _pack_frame_head(len(body), crc32(body)) + body


def encode_record(record: Record) -> bytes:
    """The frame of ``record``; see ``encode_frame``."""
    return encode_frame(
        record.seq,
        record.kind,
        record.flags,
        record.received_ns,
        record.provenance,
        record.payload,
    )


def decode_body(body: bytes) -> Record:
    """The record in ``body``: strict, so that ``encode_record`` gives the same bytes again.

    Raises FormatError ``FRAME_FIELD``: unknown version, kind or flag, or lengths that do not add
    up.
    """
    size = len(body)
    if not _MIN_BODY <= size <= MAX_BODY:
        raise _field_error(f"a record body of {size} bytes is outside {_MIN_BODY}..{MAX_BODY}")
    version, kind_number, flags, seq, received_ns, n = _BODY_HEAD.unpack_from(body)
    kind = _KINDS.get(kind_number)
    if version != RECORD_VERSION or kind is None or flags & ~KNOWN_FLAGS:
        raise _field_error(
            f"record {seq} has version {version}, kind {kind_number}, flags {flags:#06x};"
            f" this reader knows version {RECORD_VERSION}, kinds 1..{len(_KINDS)},"
            f" flags {KNOWN_FLAGS:#06x}"
        )
    payload_at = _BODY_HEAD.size + n + _COUNT.size
    if payload_at > size:
        raise _field_error(f"record {seq}: a provenance of {n} bytes does not fit its body")
    (m,) = _COUNT.unpack_from(body, payload_at - _COUNT.size)
    if payload_at + m != size:
        raise _field_error(f"record {seq}: a payload of {m} bytes does not fill its body")
    return Record(
        seq,
        kind,
        flags,
        received_ns,
        body[_BODY_HEAD.size : payload_at - _COUNT.size],
        body[payload_at:],
    )


def iter_frames(
    buffer: bytes | bytearray | memoryview, offset: int = 0
) -> Iterator[tuple[Record, int, int]]:
    """Records of ``buffer`` from ``offset`` on, each with its frame's start and end.

    Ends at a zero length word (as much of it as is there) or at the end of the buffer. At the
    first bad frame, which starts where the last good one ended, raises FormatError: ``FRAME_TORN``
    (it reaches past the buffer), ``FRAME_CRC`` (its bytes are not those that were written) or
    ``FRAME_FIELD`` (see ``decode_body``).
    """
    size = len(buffer)
    head_size, unpack_head = FRAME_HEAD.size, FRAME_HEAD.unpack_from
    with memoryview(buffer) as view:
        while offset + head_size <= size:
            length, expected_crc = unpack_head(view, offset)
            if length == 0:
                return
            if not _MIN_BODY <= length <= MAX_BODY:
                raise _field_error(f"the frame at byte {offset} claims a body of {length} bytes")
            start = offset + head_size
            end = start + length
            if end > size:
                raise FormatError(
                    "FRAME_TORN",
                    f"the frame at byte {offset} claims {length} bytes of body;"
                    f" {size - start} are there",
                    remedy=_REMEDY,
                )
            body = bytes(view[start:end])
            if crc32(body) != expected_crc:
                raise FormatError(
                    "FRAME_CRC",
                    f"the frame at byte {offset} ({length} bytes) does not match its CRC-32",
                    remedy=_REMEDY,
                )
            yield decode_body(body), offset, end
            offset = end
        if any(view[offset : offset + 4]):
            raise FormatError(
                "FRAME_TORN",
                f"the frame at byte {offset} breaks off inside its head",
                remedy=_REMEDY,
            )


_REMEDY = "run `swt3-agent fsck`: it names what is damaged and what can still be read"


def _field_error(message: str) -> FormatError:
    return FormatError("FRAME_FIELD", message, remedy=_REMEDY)


def _why_not_encodable(seq: int, kind: int, flags: int, size: int) -> str:
    if size > MAX_BODY:
        return f"record {seq} has a body of {size} bytes; {MAX_BODY} is the most"
    if kind not in _KINDS:
        return f"record {seq} has kind {kind}, which is not assigned"
    return f"record {seq} has flags {flags:#06x}, of which only {KNOWN_FLAGS:#06x} are assigned"
