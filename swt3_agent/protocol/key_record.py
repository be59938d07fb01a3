"""KEY records: how an attestation key came to sign, and how it ended (docs/formats.md,
"Payloads by kind" and "Succession")."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import msgspec

from swt3_agent.errors import FormatError, UsageError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.note import decode_base64, encode_base64
from swt3_agent.protocol.strict_json import MALFORMED

MAX_REASON = 500


class KeyEvent(Enum):
    """What a record says of the key that it names."""

    CREATED = "created"  # signs from now on, the first of the log
    ROTATED = "rotated"  # signs after the next head, and the key before it certified it
    REPLACED = "replaced"  # signs from now on in place of one that was lost, and nothing vouches
    RETIRED = "retired"  # signs no more


@dataclass(frozen=True, slots=True)
class Certification:
    """TPM2_Certify of a key: the Name of the key that certified, TPMS_ATTEST, DER signature."""

    certified_by: bytes
    attest: bytes
    signature_der: bytes


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One KEY record. ``ak_public`` (TPMT_PUBLIC) and ``kind`` (``tpm`` or ``software-tpm``) are
    None where the key is retired; ``certification`` is there where it was rotated; ``lost`` is the
    code that said why the key before it could not be used, where it was replaced. ``by`` (``uid``,
    ``gid``, ``user``) and ``reason`` say who changed it and why."""

    event: KeyEvent
    name: bytes
    ak_public: bytes | None = None
    kind: str | None = None
    certification: Certification | None = None
    lost: str | None = None
    by: Mapping[str, object] | None = None
    reason: str | None = None


class _Wire(msgspec.Struct, omit_defaults=True):
    event: str
    name: str
    ak_public: str | None = None
    kind: str | None = None
    certified_by: str | None = None
    attest: str | None = None
    signature: str | None = None
    lost: str | None = None
    by: dict[str, object] | None = None
    reason: str | None = None


def encode_key_record(record: KeyRecord) -> bytes:
    """The payload."""
    certified = record.certification
    wire = _Wire(
        event=record.event.value,
        name=record.name.hex(),
        ak_public=None if record.ak_public is None else encode_base64(record.ak_public),
        kind=record.kind,
        certified_by=None if certified is None else certified.certified_by.hex(),
        attest=None if certified is None else encode_base64(certified.attest),
        signature=None if certified is None else encode_base64(certified.signature_der),
        lost=record.lost,
        by=None if record.by is None else dict(record.by),
        reason=record.reason,
    )
    return canonical_json(msgspec.to_builtins(wire))


def parse_key_record(payload: bytes) -> KeyRecord:
    """The record in ``payload``; members that are not known are ignored.

    Raises FormatError ``KEY_RECORD`` for what is none: an event that is not known, a key that
    signs without its public area, a rotation without certification.
    """
    try:
        wire = msgspec.json.decode(payload, type=_Wire)
        event = KeyEvent(wire.event)
        ak_public = None if wire.ak_public is None else decode_base64(wire.ak_public)
        certification = None
        if event is KeyEvent.ROTATED:
            certification = Certification(
                bytes.fromhex(wire.certified_by or ""),
                decode_base64(wire.attest or ""),
                decode_base64(wire.signature or ""),
            )
        name = bytes.fromhex(wire.name)
    except (*MALFORMED, ValueError) as error:
        raise _no_record(str(error)) from None
    if (ak_public is None) is not (event is KeyEvent.RETIRED):
        raise _no_record(f"event {event.value} {'without' if ak_public is None else 'with'} a key")
    return KeyRecord(
        event=event,
        name=name,
        ak_public=ak_public,
        kind=wire.kind,
        certification=certification,
        lost=wire.lost,
        by=wire.by,
        reason=wire.reason,
    )


def checked_reason(reason: str) -> str:
    """Why a key is changed. Raises UsageError ``KEY_REASON`` for one that says nothing or too
    much."""
    reason = reason.strip()
    if not 0 < len(reason) <= MAX_REASON or not reason.isprintable():
        raise UsageError(
            "KEY_REASON",
            f"a reason of {len(reason)} characters",
            remedy=f"say in 1 to {MAX_REASON} characters, on one line, why the key is changed",
        )
    return reason


def _no_record(why: str) -> FormatError:
    return FormatError(
        "KEY_RECORD",
        f"not a record of an attestation key: {why}",
        remedy="run `swt3-agent fsck`; restore the state directory from a backup",
    )
