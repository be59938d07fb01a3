"""Which records may leave the node in a bundle, and why not (docs/formats.md, "Bundle")."""

from functools import lru_cache

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.bundle import Disclosure
from swt3_agent.protocol.clearing import clear
from swt3_agent.protocol.record import MAX_BODY, Kind, Record
from swt3_agent.protocol.strict_json import MALFORMED

_ANCHORS = frozenset({Kind.MINTED, Kind.RELAYED})
_SENDER_STAYS = 2
"""From this level on nobody is told which process, user and container sent a record."""
_NEVER = {Kind.QUARANTINE: Disclosure.QUARANTINE, Kind.OPAQUE: Disclosure.OPAQUE}


class _Provenance(msgspec.Struct, frozen=True):
    tenant: str | None = None
    applied_level: int | None = None


class _Payload(msgspec.Struct, frozen=True):
    clearing_level: int = 0


def disclosure_of(record: Record, tenant: str, level: int) -> Disclosure:
    """Whether ``record`` may leave a node of ``tenant`` whose clearing level is ``level`` now.

    A record that was cleared for a lower level, before the node's was raised, leaves only where
    clearing it again would change nothing: its leaf is over the bytes as they are. So does every
    record whose sender stays, since who reads the bundle cannot see for which level it was cleared.
    """
    if record.kind in _NEVER:
        return _NEVER[record.kind]
    if record.kind not in _ANCHORS:
        return Disclosure.SHOWN
    provenance = _read_provenance(record.provenance)
    if provenance.tenant not in (None, tenant):
        return Disclosure.TENANT
    without_sender = record.kind is Kind.RELAYED and level >= _SENDER_STAYS
    believed = _applied_level(record, provenance) >= level and not without_sender
    if not believed and not _is_clear(record.payload, level):
        return Disclosure.LEVEL
    return Disclosure.PAYLOAD if without_sender else Disclosure.SHOWN


def _applied_level(record: Record, provenance: _Provenance) -> int:
    """What a relayed record does not say counts as not cleared at all."""
    if provenance.applied_level is not None:
        return provenance.applied_level
    if record.kind is not Kind.MINTED:
        return 0
    try:
        return msgspec.json.decode(record.payload, type=_Payload).clearing_level
    except MALFORMED:
        return 0


def _is_clear(payload: bytes, level: int) -> bool:
    try:
        witness = strict_json.loads(payload, max_bytes=MAX_BODY)
        return isinstance(witness, dict) and not clear(witness, level)[1]
    except FormatError:
        return False


@lru_cache(maxsize=256)  # the records of a batch share theirs
def _read_provenance(provenance: bytes) -> _Provenance:
    try:
        return msgspec.json.decode(provenance, type=_Provenance)
    except MALFORMED:
        return _Provenance(tenant="")
