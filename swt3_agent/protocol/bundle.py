"""Bundles: a range of a log, for somebody who has nothing else (docs/formats.md, "Bundle").

    boot-heads                log PCR at its reset ‖ digests of the heads since, before the range
    data/NNNNNN.entries.zst   shown records: salt_p ‖ salt_v ‖ frame, one after another
    data/NNNNNN.leaves        for every record of the portion: u8 disclosure ‖ leaf hash
    logs/DIGEST.KIND          quotes of the platform, boot logs and IMA logs (bundle_evidence)
    manifest.json             what is in the range and in the members above, with their digests
    proof.json                that the log holds a record with the digest of manifest.json
    tail.json                 the heads since the end of the range, and how it leads to the last

The names sort in the order in which the members are made.
"""

import re
from array import array
from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import Annotated, Any, TypeVar
from zlib import crc32

import msgspec
from msgspec import Meta

from swt3_agent.errors import FormatError
from swt3_agent.protocol.bundle_evidence import (
    LOG_NAME,
    MAX_EARLIER,
    MAX_KEYS,
    BootInfo,
    EarlierRecord,
    SuccessionInfo,
)
from swt3_agent.protocol.log_tree import HASH_SIZE, SALT_SIZE
from swt3_agent.protocol.record import FRAME_HEAD, Record, decode_body

BUNDLE_FORMAT_1 = "swt3-agent/bundle/1"
"""Stays readable: it knows no counter, no evidence of boots and no succession of keys."""
BUNDLE_FORMAT = "swt3-agent/bundle/2"

BOOT_HEADS = "boot-heads"
MANIFEST = "manifest.json"
PROOF = "proof.json"
TAIL = "tail.json"
MEMBER_NAME = re.compile(
    r"boot-heads|data/[0-9]{6}\.(?:entries\.zst|leaves)|manifest\.json|proof\.json|tail\.json|"
    + LOG_NAME
)

MAX_MEMBERS = 200_000
MAX_ENTRIES = 17 * 1024 * 1024
"""Bytes of one member of entries before compression: 8 MiB, and the record that makes it more."""
MAX_PORTION = 65_536
"""Records of one portion: one member of entries and one of leaves."""
MAX_BOOT_HEADS = 1_000_000
MAX_TEXT = 64 * 1024 * 1024
"""Bytes of manifest or tail."""
MAX_MEMBER = MAX_TEXT
"""Bytes of any member, as it lies in the file."""

NO_SALT = bytes(SALT_SIZE)
"""In place of salt_v: the provenance in the frame is SHA-256(salt_v ‖ provenance) alone."""
LEAF_ENTRY = 1 + HASH_SIZE
_SALTS = 2 * SALT_SIZE
_MAX_SAFE_INTEGER = 2**53 - 1

Hash = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=0, le=_MAX_SAFE_INTEGER)]
Label = Annotated[str, Meta(min_length=1, max_length=256)]
_PcrIndex = Annotated[str, Meta(pattern=r"\A(?:[0-9]|1[0-9]|2[0-3])\Z")]


class Disclosure(IntEnum):
    """Whether a record is in the bundle, and if not, why. Numbers are pinned."""

    SHOWN = 0
    QUARANTINE = 1  # the agent refused it: nobody knows what is in it
    OPAQUE = 2  # no witness payload, so that no clearing rule says what may leave
    LEVEL = 3  # it holds more than may leave at the node's clearing level
    TENANT = 4  # another tenant's
    PAYLOAD = 5  # shown without its provenance: who sent it is more than may leave

    @property
    def is_shown(self) -> bool:
        """Whether the payload is in the bundle."""
        return self in (Disclosure.SHOWN, Disclosure.PAYLOAD)

    @property
    def label(self) -> str:
        """The name in JSON, e.g. ``quarantine``."""
        return self.name.lower()


class HeadQuoteText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it takes to judge the signature of a head, in hex; see ``proof.QuoteContext``."""

    before: Hash
    pcrs: dict[_PcrIndex, Hash]


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A head whose note is record ``seq``; ``checkpoint`` is the signed note, or the text of an
    unsigned one, which has no ``quote``."""

    seq: Count
    checkpoint: Annotated[str, Meta(max_length=16_384)]
    quote: HeadQuoteText | None = None


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member of the bundle: what it must be, and which records ``[first, end)`` it is of."""

    name: Annotated[str, Meta(max_length=80)]
    size: Count
    sha256: Hash
    first: Count
    end: Count


class CollectorInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A collector of the node when the bundle was made, and its declared cadence."""

    name: Label
    interval_ms: Count


class ListenerInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sums over the gap records of the range for one listener."""

    refused: Annotated[dict[Label, Count], Meta(max_length=256)]
    dropped: Count
    evicted: Count
    gaps: Count


class Omission(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that belongs to the evidence and is not in the bundle."""

    what: Label
    why: Label


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``manifest.json``: records ``[first, end)`` of a log whose first ``end`` records have
    ``root``; ``peaks`` are those of the tree before the range, largest first.

    ``keys`` are the AKs (Base 64 TPMT_PUBLIC) of the heads, ``previous`` the newest head whose note
    lies before the range, ``level`` the clearing level that the records respect. Since format 2
    ``earlier`` are records before the range that counter certificates and boots in it rest on,
    ``boots`` those in it and the one it begins in, and ``successions`` lead from the first of
    ``keys`` to those after it.
    """

    format: str
    agent_version: Label
    node_id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    log_id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{16,64}\Z")]
    tenant: Label
    level: Annotated[int, Meta(ge=0, le=3)]
    made_ms: Count
    first: Count
    end: Count
    root: Hash
    peaks: Annotated[list[Hash], Meta(max_length=64)]
    members: Annotated[list[Member], Meta(max_length=MAX_MEMBERS)]
    kinds: Annotated[dict[Label, Count], Meta(max_length=64)]
    withheld: Annotated[dict[Label, Count], Meta(max_length=64)]
    collectors: Annotated[list[CollectorInfo], Meta(max_length=1000)]
    listeners: Annotated[dict[Label, ListenerInfo], Meta(max_length=10_000)]
    omitted: Annotated[list[Omission], Meta(max_length=100)]
    keys: Annotated[list[Annotated[str, Meta(max_length=2048)]], Meta(max_length=MAX_KEYS)] = []
    log_pcr: Annotated[int, Meta(ge=0, le=23)] | None = None
    previous: Head | None = None
    earlier: Annotated[list[EarlierRecord], Meta(max_length=MAX_EARLIER)] = []
    boots: Annotated[list[BootInfo], Meta(max_length=MAX_EARLIER)] = []
    successions: Annotated[list[SuccessionInfo], Meta(max_length=MAX_KEYS)] = []


class _Claim(msgspec.Struct, frozen=True):
    format: Any = None


class Tail(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``tail.json``: the heads whose notes lie after the range, to the one of ``proof.json``.

    ``consistency`` leads from the first ``Manifest.end`` records to that head, ``previous`` from
    the previous head to it.
    """

    format: str
    heads: list[Head]
    consistency: Annotated[list[Hash], Meta(max_length=130)]
    previous: Annotated[list[Hash], Meta(max_length=130)] = []


_Text = TypeVar("_Text", Manifest, Tail)


def encode_text(value: Manifest | Tail) -> bytes:
    """The member's bytes: canonical JSON (RFC 8785; only strings and integers) and a newline."""
    return msgspec.json.encode(value, order="sorted") + b"\n"


def decode_text(data: bytes, kind: type[_Text]) -> _Text:
    """The manifest or tail in ``data``: strict, so that ``encode_text`` gives the same bytes again.

    Raises FormatError ``PARSE_*`` as ``decode_proof`` does.
    """
    if len(data) > MAX_TEXT:
        raise parse_error("TOO_LARGE", f"a text has {len(data)} bytes, and {MAX_TEXT} is the most")
    try:
        claimed = msgspec.json.decode(data, type=_Claim).format
        if claimed not in (BUNDLE_FORMAT, BUNDLE_FORMAT_1):
            named = f"format {claimed[:40]!a}" if isinstance(claimed, str) else "no format"
            raise FormatError(
                "PARSE_FORMAT_UNKNOWN",
                f"a text in the bundle names {named}, not {BUNDLE_FORMAT}",
                remedy="use a verifier that knows the format",
            )
        value = msgspec.json.decode(data, type=kind)  # straight, so that the first misfit ends it
        if claimed == BUNDLE_FORMAT_1 and isinstance(value, Manifest):
            _check_first_format(value)
    except msgspec.ValidationError as error:
        raise parse_error("FIELD", f"a field is wrong: {str(error)[:200]}") from None
    except RecursionError:
        raise parse_error("TOO_DEEP", "a text is nested too deep") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise parse_error("NOT_JSON", f"a text is not JSON: {str(error)[:200]}") from None
    if encode_text(value) != data:
        raise parse_error("NOT_CANONICAL", "a text is not the canonical spelling of its content")
    return value


def _check_first_format(manifest: Manifest) -> None:
    """Raises ValueError where a manifest of format 1 has what came with the second."""
    if manifest.earlier or manifest.boots or manifest.successions:
        raise msgspec.ValidationError(f"{BUNDLE_FORMAT_1} has no earlier, boots and successions")


def parse_error(code: str, message: str) -> FormatError:
    """Bytes in a bundle that cannot be what an export wrote."""
    return FormatError(
        f"PARSE_{code}",
        message,
        remedy="fetch the bundle again from where it was made, byte for byte",
    )


def entries_name(number: int) -> str:
    """Name of the entries of portion ``number``."""
    return f"data/{number:06d}.entries.zst"


def leaves_name(number: int) -> str:
    """Name of the leaves of portion ``number``."""
    return f"data/{number:06d}.leaves"


def iter_entries(data: bytes, at: int = 0) -> Iterator[tuple[bytes, bytes, Record]]:
    """Salts of payload and provenance, and the record, of every entry in ``data`` from byte ``at``.

    Raises FormatError ``BUNDLE_ENTRY`` where the bytes are not whole entries.
    """
    size, unpack = len(data), FRAME_HEAD.unpack_from
    while at < size:
        frame = at + _SALTS
        body = frame + FRAME_HEAD.size
        length, crc = unpack(data, frame) if body <= size else (0, 0)
        end = body + length
        content = data[body:end]
        if not length or end > size or crc32(content) != crc:
            raise _bad_entry(f"the entry at byte {at} is not whole")
        try:
            record = decode_body(content)
        except FormatError as error:
            raise _bad_entry(error.message) from None
        yield data[at : at + SALT_SIZE], data[at + SALT_SIZE : frame], record
        at = end


def entry_offsets(data: bytes) -> "array[int]":
    """Where each entry in ``data``, which was found whole, begins."""
    offsets, at = array("Q"), 0
    while at < len(data):
        offsets.append(at)
        length, _ = FRAME_HEAD.unpack_from(data, at + _SALTS)
        at += _SALTS + FRAME_HEAD.size + length
    return offsets


def iter_leaves(data: bytes) -> Iterator[tuple[Disclosure, bytes]]:
    """Disclosure and leaf hash of every record in a member of leaves.

    Raises FormatError ``BUNDLE_LEAVES`` for a part of one, and for an unknown disclosure.
    """
    if len(data) % LEAF_ENTRY:
        raise _bad_leaves("it ends inside a leaf")
    for number, leaf in _LEAF.iter_unpack(data):
        disclosure = _DISCLOSURES.get(number)
        if disclosure is None:
            raise _bad_leaves(f"disclosure {number} is not assigned")
        yield disclosure, leaf


def encode_leaf(disclosure: Disclosure, leaf: bytes) -> bytes:
    """One record in a member of leaves."""
    return _LEAF.pack(disclosure, leaf)


_LEAF = Struct(f"B{HASH_SIZE}s")
_DISCLOSURES = {int(disclosure): disclosure for disclosure in Disclosure}


def _bad_entry(what: str) -> FormatError:
    return FormatError(
        "BUNDLE_ENTRY",
        f"the records in the bundle cannot be read: {what}",
        remedy="fetch the bundle again from where it was made, byte for byte",
    )


def _bad_leaves(what: str) -> FormatError:
    return FormatError(
        "BUNDLE_LEAVES",
        f"the leaves in the bundle cannot be read: {what}",
        remedy="fetch the bundle again from where it was made, byte for byte",
    )
