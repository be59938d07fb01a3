"""How a checkpoint lies in the journal: a note record, and after the TPM signed it a quote record.

    note   payload {"body": text}                          provenance {"phase": "note", ...}
    quote  payload {"note", "of", "before", "pcrs"}        provenance {"phase": "quote", ...}

The note is durable before the log PCR is extended with it, the quote right after (docs/formats.md,
"What a signed head proves").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from swt3_agent.errors import FormatError, JournalError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.checkpoint import (
    CheckpointNote,
    parse_body,
    parse_quote_signature,
    parse_signed_note,
)
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.pcr_values import pcrs_from, pcrs_text
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.catalogue import HeadEntry
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.tcg.attest import Attest, parse_attest


@dataclass(frozen=True, slots=True)
class HeadQuote:
    """The TPM's half of a head: the signed note, the log PCR before it, the quoted PCR values."""

    signed_note: bytes
    before: bytes
    pcrs: Mapping[int, bytes]

    def attestation(self) -> Attest:
        """What the TPM signed. Raises FormatError."""
        line = parse_signed_note(self.signed_note).signatures[0]
        return parse_attest(parse_quote_signature(line.signature).attest)

    def reset_count(self) -> int:
        """How often the TPM had been reset when it signed. Raises FormatError."""
        return self.attestation().reset_count


@dataclass(frozen=True, slots=True)
class HeadRecord:
    """A checkpoint as it is in the journal. ``findings`` are what was noticed while making it."""

    note: CheckpointNote
    note_seq: int
    quote: HeadQuote | None
    quote_seq: int | None
    findings: tuple[Reason, ...] = ()

    @property
    def signed(self) -> bool:
        """Whether a TPM signed it."""
        return self.quote is not None

    @property
    def checkpoint(self) -> bytes:
        """The signed note, or the note's text alone where nobody signed it."""
        return self.note.body() if self.quote is None else self.quote.signed_note


class _NotePayload(msgspec.Struct, forbid_unknown_fields=True):
    body: str


class _QuotePayload(msgspec.Struct, forbid_unknown_fields=True):
    note: str
    of: int
    before: str
    pcrs: dict[str, str]


def note_draft(note: CheckpointNote, reason: str) -> Draft:
    """The record of a note that is not signed yet."""
    provenance = canonical_json({"listener": "agent", "phase": "note", "reason": reason})
    return Draft(Kind.CHECKPOINT, provenance, canonical_json({"body": note.body().decode()}))


def quote_draft(note_seq: int, quote: HeadQuote, findings: Sequence[Reason]) -> Draft:
    """The record of the signature over the note at ``note_seq``."""
    provenance: dict[str, object] = {"listener": "agent", "phase": "quote"}
    if findings:
        provenance["findings"] = [finding.code for finding in findings]
    payload = {
        "note": quote.signed_note.decode(),
        "of": note_seq,
        "before": quote.before.hex(),
        "pcrs": pcrs_text(quote.pcrs),
    }
    return Draft(Kind.CHECKPOINT, canonical_json(provenance), canonical_json(payload))


def parse_note(record: Record) -> CheckpointNote:
    """The note in a note record. Raises FormatError."""
    try:
        payload = msgspec.json.decode(record.payload, type=_NotePayload)
    except MALFORMED as error:
        raise _not_a_head(record, str(error)) from error
    return parse_body(payload.body.encode())


def parse_quote(record: Record) -> tuple[int, HeadQuote]:
    """The note's sequence number and the quote in a quote record. Raises FormatError."""
    try:
        payload = msgspec.json.decode(record.payload, type=_QuotePayload)
        quote = HeadQuote(
            signed_note=payload.note.encode(),
            before=bytes.fromhex(payload.before),
            pcrs=pcrs_from(payload.pcrs),
        )
    except MALFORMED as error:
        raise _not_a_head(record, str(error)) from error
    return payload.of, quote


def read_head(journal: Journal, entry: HeadEntry) -> HeadRecord:
    """The head that ``entry`` points at. Raises JournalError ``HEAD_UNREADABLE``."""
    try:
        note = parse_note(journal.read(entry.note_seq))
        quote = None
        if entry.quote_seq is not None:
            _, quote = parse_quote(journal.read(entry.quote_seq))
    except FormatError as error:
        raise JournalError(
            "HEAD_UNREADABLE",
            f"the checkpoint at record {entry.note_seq} cannot be read: {error.message}",
            remedy="run `swt3-agent fsck`",
        ) from error
    return HeadRecord(note, entry.note_seq, quote, entry.quote_seq)


def _not_a_head(record: Record, what: str) -> FormatError:
    return FormatError(
        "HEAD_RECORD",
        f"record {record.seq} is no checkpoint: {what}",
        remedy="run `swt3-agent fsck`",
    )
