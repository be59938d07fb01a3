"""How much of this boot's IMA list the log holds already (docs/formats.md, "Attachments").

A start must go on where the last one ended: an agent that is restarted over and over would else
keep the whole list each time.
"""

import msgspec

from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Journal

MOST_RECORDS = 1000
"""Starts, and readings, looked at, newest first."""


class _Boot(msgspec.Struct):
    boot_id: str


class _Place(msgspec.Struct):
    offset: int


class _Stated(msgspec.Struct):
    ima_log: _Place | None = None


class _Part(msgspec.Struct):
    size: int


class _Reading(msgspec.Struct):
    stated: _Stated = msgspec.field(default_factory=_Stated)
    attachments: dict[str, _Part] = {}


def kept_of_boot(journal: Journal, catalogue: Catalogue, boot_id: str, collector: str) -> int:
    """Bytes of the list that readings of ``collector`` in boot ``boot_id`` have kept, from its
    beginning; 0 where none can be found. Raises JournalError."""
    start = _first_start(journal, catalogue, boot_id)
    if start is None:
        return 0
    readings = catalogue.records_of(Kind.EVIDENCE, start, collector=collector)
    for seq in reversed(readings[-MOST_RECORDS:]):
        try:
            reading = msgspec.json.decode(journal.read(seq).payload, type=_Reading)
        except MALFORMED:  # `fsck` says what is wrong with it; the list is kept anew
            return 0
        if reading.stated.ima_log is not None:
            part = reading.attachments.get("ima-log")
            return reading.stated.ima_log.offset + (0 if part is None else part.size)
    return 0


def _first_start(journal: Journal, catalogue: Catalogue, boot_id: str) -> int | None:
    """The oldest of the newest BOOT records that are all of this boot; None: the newest is not."""
    first = None
    for seq in reversed(catalogue.records_of(Kind.BOOT)[-MOST_RECORDS:]):
        try:
            boot = msgspec.json.decode(journal.read(seq).payload, type=_Boot)
        except MALFORMED:
            break
        if boot.boot_id != boot_id:
            break
        first = seq
    return first
