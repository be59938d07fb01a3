"""Checking the checkpoints in a log against its records and against each other.

Structure only: whether a TPM really signed them is for ``verify`` to say.
"""

from collections.abc import Callable

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.checkpoint import (
    FIRST_PREVIOUS,
    CheckpointNote,
    extended,
    parse_signed_note,
)
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.fsck.findings import Report
from swt3_agent.store.head_records import parse_note, parse_quote
from swt3_agent.store.segment_index import read_provenance

RootOf = Callable[[int], bytes | None]
"""Root over the first records of the log, recomputed; None where some could not be read."""


class _Boot(msgspec.Struct):
    log_pcr: dict[str, object] | None = None


class HeadChecker:
    """Sees all records in order; looks at checkpoints and boots."""

    def __init__(self, root_of: RootOf, report: Report) -> None:
        self._root_of = root_of
        self._report = report
        self._notes: dict[int, CheckpointNote] = {}
        self._last: CheckpointNote | None = None
        self._value: bytes | None = None

    def see(self, record: Record) -> None:
        """Check ``record`` if it is part of the chain of heads."""
        if record.kind is Kind.BOOT:
            self._see_boot(record)
        elif record.kind is Kind.CHECKPOINT:
            phase = read_provenance(record.provenance).phase
            code = "QUOTE_UNREADABLE" if phase == "quote" else "NOTE_UNREADABLE"
            try:
                if phase == "quote":
                    self._see_quote(record)
                else:
                    self._see_note(record)
            except FormatError as error:
                self._report(code, _where(record), error.message)

    def _see_note(self, record: Record) -> None:
        note = parse_note(record)
        last, where = self._last, _where(record)
        self._notes = {record.seq: note}  # a quote is over the last note, or over none
        self._last = note
        if note.size > record.seq or (last is not None and note.size < last.size):
            self._report("NOTE_SIZE", where, f"it states a size of {note.size}")
            return
        root = self._root_of(note.size)
        if root is not None and root != note.root:
            detail = f"it states root {note.root.hex()}; the records give {root.hex()}"
            self._report("NOTE_ROOT", where, detail)
        previous = FIRST_PREVIOUS if last is None else last.digest()
        if note.previous != previous:
            self._report("NOTE_PREVIOUS", where, "it is not chained to the note before it")
        if last is not None and note.origin != last.origin:
            self._report("NOTE_ORIGIN", where, f"{note.origin} follows {last.origin}")

    def _see_quote(self, record: Record) -> None:
        of, quote = parse_quote(record)
        signed = parse_signed_note(quote.signed_note)
        note, where = self._notes.get(of), _where(record)
        if note is None or note.body() != signed.body:
            self._report("QUOTE_NOTE", where, f"it is not over the note at record {of}")
            return
        after = extended(quote.before, signed.body)
        if after not in quote.pcrs.values():
            detail = "no quoted PCR holds the value that the note extends the log PCR to"
            self._report("QUOTE_NOT_EXTENDED", where, detail)
        known = b"findings" in record.provenance  # the agent noticed and said so itself
        # A quote that comes only after the next boot record finds its head in the value stated.
        expected = self._value or quote.before
        if expected not in (quote.before, after) and not known:
            detail = f"it starts from {quote.before.hex()}; the head before led to"
            self._report("LOG_PCR_REPLAY", where, f"{detail} {expected.hex()}")
        self._value = after

    def _see_boot(self, record: Record) -> None:
        try:
            boot = msgspec.json.decode(record.payload, type=_Boot)
            self._value = bytes.fromhex(str((boot.log_pcr or {})["value"]))
        except (KeyError, *MALFORMED):
            self._value = None


def _where(record: Record) -> str:
    return f"record {record.seq}"
