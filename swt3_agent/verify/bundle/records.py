"""The records of a bundle that was judged, one by one: what each is, and when it came in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

import msgspec

from swt3_agent.protocol.bundle import MANIFEST
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.verify.bundle.history import History
from swt3_agent.verify.bundle.report import BundleReport
from swt3_agent.verify.bundle.source import BundleSource
from swt3_agent.verify.bundle.times import Interval
from swt3_agent.verify.moments import utc_text
from swt3_agent.verify.report import printable

_ANCHORS = frozenset({Kind.MINTED, Kind.RELAYED})
_WITHHELD = "withheld"
RECORD_SCHEMA = "swt3-agent/verify-record/1"


@dataclass(frozen=True, slots=True)
class RecordLine:
    """A record: ``kind`` (``withheld`` where it is not in the bundle), procedure and verdict of an
    anchor, as far as they are told, and when it came into the log."""

    seq: int
    kind: str
    procedure: str | None
    verdict: str | None
    interval: Interval

    def to_json(self) -> dict[str, object]:
        """JSON-able form (docs/formats.md, "Bundle")."""
        return {
            "schema": RECORD_SCHEMA,
            "seq": self.seq,
            "kind": self.kind,
            "procedure_id": self.procedure,
            "verdict": self.verdict,
            **self.interval.to_json(),
        }

    def render(self) -> str:
        """One line, in printable ASCII."""
        interval = self.interval
        words = (
            f"{self.seq:>10}",
            f"{self.kind:<14}",
            f"{self.procedure or '-':<14}",
            f"{self.verdict or '-':<4}",
            f"{utc_text(interval.not_before_ms):<23}",
            utc_text(interval.not_after_ms) + "  contradicted" * interval.contradicted,
        )
        return printable("  ".join(words).rstrip())


RECORD_HEADER = "       seq  kind            procedure       verdict, not before, not after"
"""What stands above rendered lines."""


class _Provenance(msgspec.Struct):
    verdict: str | None = None


class _Payload(msgspec.Struct):
    procedure_id: str | None = None


def record_lines(stream: BinaryIO, report: BundleReport) -> Iterator[RecordLine]:
    """Every record of the bundle in ``stream``, in order; ``report`` is the judgement on it.

    Nothing where the outcome is false. Raises FormatError where it is another bundle; OSError.
    """
    if report.manifest is None or report.history is None:
        return
    source = BundleSource(stream, report.hashes[MANIFEST])
    for record in source.scan(source.first):
        yield _line(record, report.history)


def _line(record: Record, history: History) -> RecordLine:
    interval = history.times.interval_of(record.seq)
    if record.kind is Kind.TOMBSTONE and not record.payload:
        return RecordLine(record.seq, _WITHHELD, None, None, interval)
    procedure = verdict = None
    if record.kind in _ANCHORS:
        procedure = _read(record.payload, _Payload()).procedure_id
        verdict = _read(record.provenance, _Provenance()).verdict
    return RecordLine(record.seq, record.kind.label, procedure, verdict, interval)


_Read = TypeVar("_Read", _Payload, _Provenance)


def _read(data: bytes, otherwise: _Read) -> _Read:
    try:
        return msgspec.json.decode(data, type=type(otherwise))
    except MALFORMED:  # judged already: it holds no such thing
        return otherwise
