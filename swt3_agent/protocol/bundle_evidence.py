"""What a bundle holds beside its range, so that counter, boots and keys can be judged
(docs/formats.md, "Bundle"): since `swt3-agent/bundle/2`."""

import base64
from typing import Annotated

import msgspec
from msgspec import Meta

from swt3_agent.errors import FormatError
from swt3_agent.protocol.log_tree import SALT_SIZE
from swt3_agent.protocol.record import FRAME_HEAD, Record, decode_body, encode_record

MAX_EARLIER = 10_000
"""Records before the range that one bundle can show."""
MAX_KEYS = 256
"""Attestation keys of one log, and so the rotations that lead from one to another."""
LOG_NAME = r"logs/[0-9a-f]{64}\.(?:boot-log|ima-log|quote)"
"""Attachments of evidence records that are members: ``logs/<SHA-256 in hex>.<kind>``."""

_Hash = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Seq = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Base64 = Annotated[str, Meta(max_length=16_384)]


class EarlierRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record before the range that something in it rests on.

    ``entry`` is Base 64 of what the entries of a portion hold of a record (salts and frame),
    ``inclusion`` its path under the manifest's root (RFC 9162 2.1.3).
    """

    entry: Annotated[str, Meta(max_length=65_536)]
    inclusion: Annotated[list[_Hash], Meta(max_length=64)]


class BootInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A boot in the range: which evidence records tell of it.

    ``readings`` are those of its first and its last quote of the platform, ``ima_log`` those with
    the parts of the IMA log up to the last of them, in order.
    """

    boot_id: Annotated[str, Meta(min_length=1, max_length=64)]
    readings: Annotated[list[_Seq], Meta(max_length=2)]
    ima_log: Annotated[list[_Seq], Meta(max_length=MAX_EARLIER)] = []


class SuccessionInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key and its predecessor's word for it: TPMT_PUBLIC, TPMS_ATTEST and DER ECDSA, Base 64."""

    ak_public: _Base64
    attest: _Base64
    signature: _Base64


def log_name(digest: str, kind: str) -> str:
    """The member that holds an attachment of ``kind`` with this SHA-256."""
    return f"logs/{digest}.{kind}"


def encode_earlier(record: Record, salt_p: bytes, salt_v: bytes) -> str:
    """``entry`` of an ``EarlierRecord``."""
    return base64.b64encode(salt_p + salt_v + encode_record(record)).decode()


def decode_earlier(entry: str) -> tuple[bytes, bytes, Record]:
    """Both salts and the record in an ``entry``. Raises FormatError ``EARLIER_RECORD``."""
    try:
        data = base64.b64decode(entry, validate=True)
        body = data[2 * SALT_SIZE + FRAME_HEAD.size :]
        record = decode_body(body)
    except ValueError:
        raise _not_a_record("it is not Base 64") from None
    except FormatError as error:
        raise _not_a_record(error.message) from None
    if data[2 * SALT_SIZE :] != encode_record(record):
        raise _not_a_record("its frame is not that of a record")
    return data[:SALT_SIZE], data[SALT_SIZE : 2 * SALT_SIZE], record


def _not_a_record(what: str) -> FormatError:
    return FormatError(
        "EARLIER_RECORD",
        f"a record before the range cannot be read: {what}",
        remedy="fetch the bundle again from where it was made, byte for byte",
    )
