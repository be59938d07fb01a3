"""What a verification found: outcome, checks one by one, and what remains unproven."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.note import encode_base64
from swt3_agent.protocol.pcr_values import pcrs_text
from swt3_agent.protocol.trust import TrustStatement
from swt3_agent.tcg.public import EccPublic
from swt3_agent.verify.earlier import Interval
from swt3_agent.verify.moments import utc_text

SCHEMA = "swt3-agent/verify/1"
_MARKS = {True: "ok  ", False: "FAIL", None: "?   "}
_SHOWN_PAYLOAD = 400  # characters of a payload that a terminal gets


class Outcome(Enum):
    """VERIFIED: every check passed. FALSE: something is not what it claims to be. UNDECIDED:
    nothing is wrong, but what was given does not suffice to call it true."""

    VERIFIED = "verified"
    FALSE = "false"
    UNDECIDED = "undecided"

    @property
    def exit_code(self) -> int:
        """0, 3 or 4 (docs/formats.md, "Exit codes")."""
        return {Outcome.VERIFIED: 0, Outcome.FALSE: 3, Outcome.UNDECIDED: 4}[self]


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``ok`` is None where it could not be made or does not apply."""

    name: str
    ok: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class RecordInfo:
    """The record as the proof shows it; ``provenance`` is None where it is withheld.

    Content is what the log holds, not what is true: see ``Report.not_proven``.
    """

    record_id: str
    seq: int
    payload: bytes
    payload_json: object
    provenance: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class HeadInfo:
    """The head that covers the record. TPM fields are None where no quote was verified."""

    size: int
    root: bytes
    utc_ms: int
    boot_id: str
    counter: int
    tpm_clock_ms: int | None = None
    tpm_resets: int | None = None
    tpm_restarts: int | None = None
    pcrs: Mapping[int, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of verifying something.

    ``code`` is stable: ``VERIFIED``, or that of the check that decided. ``trusted`` names whose
    word the outcome rests on. ``root_of_trust`` is that of the head, not of the records' content.
    """

    outcome: Outcome
    code: str
    reason: str
    remedy: str
    checks: tuple[Check, ...]
    trusted: str
    root_of_trust: RootOfTrust
    not_proven: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """What the command line returns."""
        return self.outcome.exit_code

    def summary_json(self) -> dict[str, object]:
        """What the JSON-able forms have in common."""
        return {
            "schema": SCHEMA,
            "outcome": self.outcome.value,
            "exit_code": self.exit_code,
            "code": self.code,
            "reason": self.reason,
            "remedy": self.remedy,
            "trusted": self.trusted,
            "root_of_trust": self.root_of_trust.value,
            "checks": [
                {"name": check.name, "ok": check.ok, "detail": check.detail}
                for check in self.checks
            ],
        }

    def verdict_lines(self) -> list[str]:
        """How a report for a terminal begins."""
        verdict = self.outcome.name
        if self.code != verdict:
            verdict += f" ({self.code})"
        lines = [f"{verdict}: {self.reason}"]
        return [*lines, f"  what to do: {self.remedy}"] if self.remedy else lines

    def basis_lines(self) -> list[str]:
        """Whose word the outcome rests on, what was checked, and what is not proven by it."""
        lines = [f"  trusting    {self.trusted}", "  checks"]
        lines += [f"    {_MARKS[check.ok]} {check.name}: {check.detail}" for check in self.checks]
        return lines + self._limit_lines()

    def closing_lines(self) -> list[str]:
        """The same without the checks, in printable ASCII."""
        lines = [f"  trusting    {self.trusted}", *self._limit_lines()]
        return [printable(line) for line in lines]

    def _limit_lines(self) -> list[str]:
        if not self.not_proven:
            return []
        return ["  not proven", *(f"    - {limit}" for limit in self.not_proven)]


@dataclass(frozen=True, slots=True)
class Report(Verification):
    """Outcome of ``verify_proof``. ``keys`` lead from the enrolled AK to the one that signed."""

    record: RecordInfo | None = None
    head: HeadInfo | None = None
    interval: Interval | None = None
    previous: HeadInfo | None = None
    statement: TrustStatement | None = None
    keys: tuple[EccPublic, ...] = ()

    def without_content(self) -> "Report":
        """Nothing in a false proof is worth showing."""
        return replace(self, record=None, head=None, interval=None, previous=None, not_proven=())

    def to_json(self) -> dict[str, object]:
        """JSON-able form, schema ``swt3-agent/verify/1`` (docs/formats.md, "Verification")."""
        return {
            **self.summary_json(),
            "record": self.record and _record_json(self.record),
            "head": self.head and head_json(self.head),
            "interval": self.interval and interval_json(self.interval),
            "not_proven": list(self.not_proven),
        }

    def render(self) -> str:
        """Lines for a terminal, without a last newline, in printable ASCII: a stranger's text
        cannot steer it."""
        lines = self.verdict_lines()
        if self.record is not None:
            lines += _record_lines(self.record)
        if self.head is not None:
            lines += _head_lines(self.head)
        if self.interval is not None:
            lines.append(_interval_line(self.interval))
        lines += [f"  root        {self.root_of_trust.value}", *self.basis_lines()]
        return "\n".join(map(printable, lines))


def printable(line: str) -> str:
    """``line`` in printable ASCII."""
    return "".join(char if " " <= char <= "~" else ascii(char)[1:-1] for char in line)


def _record_json(record: RecordInfo) -> dict[str, object]:
    return {
        "id": record.record_id,
        "seq": record.seq,
        "payload": record.payload_json,
        "payload_base64": encode_base64(record.payload),
        "provenance": record.provenance,
    }


def head_json(head: HeadInfo) -> dict[str, object]:
    """``head`` of a report."""
    return {
        "size": head.size,
        "root": encode_base64(head.root),
        "utc_ms": head.utc_ms,
        "boot_id": head.boot_id,
        "counter": head.counter,
        "tpm_clock_ms": head.tpm_clock_ms,
        "tpm_resets": head.tpm_resets,
        "tpm_restarts": head.tpm_restarts,
        "pcrs": head.pcrs and pcrs_text(head.pcrs),
    }


def interval_json(interval: Interval) -> dict[str, object]:
    """``interval`` of a report."""
    return {
        "not_before_ms": interval.not_before_ms,
        "not_after_ms": interval.not_after_ms,
        "tpm_elapsed_ms": interval.elapsed_ms,
        "clock_step_ms": interval.step_ms,
    }


def _interval_line(interval: Interval) -> str:
    after, before = map(utc_text, (interval.not_before_ms, interval.not_after_ms))
    line = f"  recorded    after {after}" if interval.not_before_ms is not None else "  recorded   "
    line += f" before {before}, by the node's clock"
    if interval.elapsed_ms is not None:
        line += f"; {interval.elapsed_ms / 1000:g} s on the TPM's"
    return line


def _record_lines(record: RecordInfo) -> list[str]:
    shown = (
        json.dumps(record.payload_json)
        if record.payload_json is not None
        else f"{len(record.payload)} bytes that are not JSON"
    )
    if len(shown) > _SHOWN_PAYLOAD:
        shown = shown[:_SHOWN_PAYLOAD] + " ..."
    provenance = "withheld" if record.provenance is None else json.dumps(record.provenance)
    return [
        f"  record      {record.record_id}",
        f"  payload     {shown}",
        f"  provenance  {provenance[:_SHOWN_PAYLOAD]}",
    ]


def _head_lines(head: HeadInfo) -> list[str]:
    clock = f"node's clock {utc_text(head.utc_ms)}"
    lines = [
        f"  head        {head.size} records, {clock}, boot {head.boot_id}, counter {head.counter}"
    ]
    if head.tpm_clock_ms is not None:
        lines.append(
            f"  TPM         clock {head.tpm_clock_ms} ms, reset {head.tpm_resets},"
            f" restart {head.tpm_restarts}"
        )
    return lines
