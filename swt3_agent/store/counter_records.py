"""How the steps of the counter lie in the journal (docs/formats.md, "Counter").

counter-intent  {"value": n + 1, "reason", "index"}
counter-cert    {"phase": "before", "intent", "head", "value": n, "public", "attest", "signature"}
counter-cert    {"phase": "after", …, "value": n + 1, …}
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from swt3_agent.errors import FormatError, JournalError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.counter_chain import PresentCounter, StatedCounter, take_up
from swt3_agent.store.head_records import parse_note
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.tcg.nv_public import parse_nv_public

Phase = Literal["before", "after"]

_PROVENANCE = canonical_json({"listener": "agent"})


class Certificate(msgspec.Struct, frozen=True):
    """Payload of a counter-cert record: sequence numbers of the intent and of the note that the
    certificate is tied to; ``public`` is a TPMS_NV_PUBLIC, ``signature`` DER."""

    phase: Phase
    intent: int
    head: int
    value: int
    public: bytes
    attest: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class LastCertificate:
    """The newest certificate in the log: what it states, and the head that it is tied to.

    ``size`` and ``boot_id`` are that head's: the certificate vouches for as many records, and was
    made in that boot. ``at_ms`` is UTC, ``reason`` that of its step.
    """

    stated: StatedCounter
    seq: int
    size: int
    boot_id: str
    at_ms: int
    reason: str


class _Intent(msgspec.Struct):
    reason: str = ""


class _BootCounter(msgspec.Struct):
    index: str
    name: str
    value: int | None
    defined: bool = False


class _Boot(msgspec.Struct):
    counter: _BootCounter | None = None


def intent_draft(index: int, value: int, reason: str) -> Draft:
    """The record that announces the step to ``value``."""
    content = {"value": value, "reason": reason, "index": f"{index:08x}"}
    return Draft(Kind.COUNTER_INTENT, _PROVENANCE, canonical_json(content))


def certificate_draft(certificate: Certificate) -> Draft:
    """The record of a certificate."""
    content: dict[str, object] = dict(msgspec.structs.asdict(certificate))
    for name in ("public", "attest", "signature"):
        content[name] = base64.b64encode(getattr(certificate, name)).decode()
    return Draft(Kind.COUNTER_CERT, _PROVENANCE, canonical_json(content))


def parse_certificate(record: Record) -> Certificate:
    """The payload of a counter-cert record. Raises FormatError ``COUNTER_RECORD``."""
    try:
        return msgspec.json.decode(record.payload, type=Certificate)
    except msgspec.MsgspecError as error:
        raise FormatError(
            "COUNTER_RECORD",
            f"record {record.seq} is no certificate of the counter: {error}",
            remedy="run `swt3-agent fsck`",
        ) from error


def boot_counter(present: PresentCounter) -> dict[str, object]:
    """``counter`` of a BOOT record."""
    return {
        "index": f"{present.index:08x}",
        "name": present.name.hex(),
        "value": present.value,
        "defined": present.defined,
    }


def last_certificate(journal: Journal, catalogue: Catalogue) -> LastCertificate | None:
    """The newest certificate; None where the log has none. Raises JournalError."""
    seq = catalogue.last_of_kind(Kind.COUNTER_CERT)
    return None if seq is None else _read(journal, seq)


def last_step(journal: Journal, catalogue: Catalogue) -> LastCertificate | None:
    """The newest certificate after a step. One before a step vouches for nothing until that is
    taken: the log without it would show the same value. Raises JournalError."""
    certificates = (
        _read(journal, seq) for seq in reversed(catalogue.records_of(Kind.COUNTER_CERT))
    )
    return next((one for one in certificates if not one.stated.promised), None)


def _read(journal: Journal, seq: int) -> LastCertificate:
    try:
        record = journal.read(seq)
        certificate = parse_certificate(record)
        public = parse_nv_public(certificate.public)
        note = parse_note(journal.read(certificate.head))
        intent = msgspec.json.decode(journal.read(certificate.intent).payload, type=_Intent)
    except (FormatError, msgspec.MsgspecError) as error:
        raise JournalError(
            "COUNTER_UNREADABLE",
            f"the certificate of the counter at record {seq} cannot be read: {error}",
            remedy="run `swt3-agent fsck`",
        ) from error
    stated = StatedCounter(
        public.index, public.name(), certificate.value, promised=certificate.phase == "before"
    )
    at_ms = record.received_ns // 1_000_000
    return LastCertificate(stated, seq, note.size, note.boot_id, at_ms, intent.reason)


def stated_counter(journal: Journal, catalogue: Catalogue) -> StatedCounter | None:
    """What the log says of the counter: its newest certificate, and the BOOT records after it.

    None where it says nothing. Raises JournalError.
    """
    last = last_certificate(journal, catalogue)
    stated = None if last is None else last.stated
    for present in _told_at_starts(journal, catalogue, 0 if last is None else last.seq):
        stated, _ = take_up(stated, present)
    return stated


def _told_at_starts(journal: Journal, catalogue: Catalogue, start: int) -> Iterator[PresentCounter]:
    for seq in catalogue.records_of(Kind.BOOT, start):
        try:
            told = msgspec.json.decode(journal.read(seq).payload, type=_Boot).counter
            if told is not None:
                name = bytes.fromhex(told.name)
                yield PresentCounter(int(told.index, 16), name, told.value, told.defined)
        except (msgspec.MsgspecError, ValueError):  # `fsck` says what is wrong with it
            continue
