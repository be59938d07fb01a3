"""Baselines: which reference values are in force, who accepted them and why (docs/formats.md,
"Baselines").

Every change is a record of its own, and the newest of a subject says all that is in force: the log
alone tells what a verdict was held against, at any time. A staged update stands beside what is in
force until it is confirmed, dropped, or its time is over; each is held against a node as a whole,
so that the kernel of one and the command line of the other are accepted by neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import msgspec

from swt3_agent.errors import FormatError, UsageError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.reference import Reference, reference_from_json, reference_to_json
from swt3_agent.protocol.strict_json import MALFORMED

MAX_BASELINE = 4 * 2**20
MAX_REASON = 500
PLATFORM = "platform"


class Change(Enum):
    """What a record changed."""

    ACCEPTED = "accepted"  # in force from now on; what was staged is dropped
    STAGED = "staged"  # accepted beside what is in force
    CONFIRMED = "confirmed"  # what was staged is in force, and what was is not
    UNSTAGED = "unstaged"  # what was staged is dropped
    RETRACTED = "retracted"  # nothing is in force: nothing is compared


@dataclass(frozen=True, slots=True)
class Accepted:
    """Reference values, and the record that brought them (None: the one that is being made).
    ``expires_ms`` (UTC) bounds staged ones; None: in force."""

    reference: Reference
    record: int | None = None
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is in force of one subject, and what is staged."""

    in_force: Accepted | None = None
    staged: Accepted | None = None

    def at(self, now_ms: int) -> tuple[Accepted, ...]:
        """What is accepted at this time (UTC), what is in force first; empty: nothing is."""
        if self.in_force is None:
            return ()
        staged = self.staged
        if staged is None or staged.expires_ms is None or now_ms >= staged.expires_ms:
            return (self.in_force,)
        return (self.in_force, staged)

    def accept(self, reference: Reference) -> "Baseline":
        """With ``reference`` in force, and nothing staged."""
        return Baseline(Accepted(reference))

    def stage(self, reference: Reference, expires_ms: int) -> "Baseline":
        """With ``reference`` accepted as well until ``expires_ms``. Raises UsageError NO_BASELINE
        where nothing is in force beside which it could stand."""
        if self.in_force is None:
            raise no_baseline()
        return Baseline(self.in_force, Accepted(reference, expires_ms=expires_ms))

    def confirm(self) -> "Baseline":
        """With what was staged in force. Raises UsageError NOTHING_STAGED."""
        if self.staged is None:
            raise _nothing_staged()
        return Baseline(Accepted(self.staged.reference, self.staged.record))

    def unstage(self) -> "Baseline":
        """Without what was staged. Raises UsageError NOTHING_STAGED."""
        if self.staged is None:
            raise _nothing_staged()
        return Baseline(self.in_force)

    def retract(self) -> "Baseline":
        """With nothing in force. Raises UsageError NO_BASELINE where nothing is."""
        if self.in_force is None:
            raise no_baseline()
        return Baseline()


@dataclass(frozen=True, slots=True)
class BaselineChange:
    """One record: what changed, to what, by whom (``uid``, ``gid``, ``user``) and why.
    ``evidence`` is the record of the reading whose values were taken; None: they came in a file,
    or none were."""

    subject: str
    change: Change
    baseline: Baseline
    by: Mapping[str, object]
    reason: str
    evidence: int | None = None


class _Accepted(msgspec.Struct):
    reference: dict[str, object]
    record: int | None = None
    expires_ms: int | None = None


class _Payload(msgspec.Struct):
    subject: str
    event: str
    by: dict[str, object]
    reason: str
    in_force: _Accepted | None = None
    staged: _Accepted | None = None
    evidence: int | None = None


def encode_baseline(change: BaselineChange) -> bytes:
    """The payload of a BASELINE record.

    Raises UsageError BASELINE_REASON for a reason that says nothing or too much, FormatError
    BASELINE_OVERSIZED.
    """
    reason = change.reason.strip()
    if not 0 < len(reason) <= MAX_REASON or not reason.isprintable():
        raise UsageError(
            "BASELINE_REASON",
            f"a reason of {len(reason)} characters",
            remedy=f"say in 1 to {MAX_REASON} characters, on one line, why the state is accepted",
        )
    payload = canonical_json(
        {
            "subject": change.subject,
            "event": change.change.value,
            "by": change.by,
            "reason": reason,
            "evidence": change.evidence,
            "in_force": _accepted_to_json(change.baseline.in_force),
            "staged": _accepted_to_json(change.baseline.staged),
        }
    )
    if len(payload) > MAX_BASELINE:
        raise FormatError(
            "BASELINE_OVERSIZED",
            f"the reference values take {len(payload)} bytes, at most {MAX_BASELINE} are kept",
            remedy="accept exact registers: `swt3-agent baseline accept --pcrs 0,2,4,7`",
        )
    return payload


def parse_baseline(payload: bytes, seq: int) -> BaselineChange:
    """What record ``seq`` says. Raises FormatError BASELINE_MALFORMED, or as the references in it
    do."""
    try:
        read = msgspec.json.decode(payload, type=_Payload)
        change = Change(read.event)
    except MALFORMED as error:
        raise FormatError(
            "BASELINE_MALFORMED",
            f"record {seq} is no baseline: {error}",
            remedy="run `swt3-agent fsck`; restore the state directory from a backup",
        ) from error
    baseline = Baseline(_accepted(read.in_force, seq), _accepted(read.staged, seq))
    return BaselineChange(read.subject, change, baseline, read.by, read.reason, read.evidence)


def no_baseline() -> UsageError:
    """No reference values are in force."""
    return UsageError(
        "NO_BASELINE",
        "no reference values are in force",
        remedy="accept the present state: `swt3-agent baseline accept --reason TEXT`",
    )


def _nothing_staged() -> UsageError:
    return UsageError(
        "NOTHING_STAGED",
        "no update is staged",
        remedy="stage one: `swt3-agent baseline accept --pending --reason TEXT`",
    )


def _accepted_to_json(accepted: Accepted | None) -> dict[str, object] | None:
    if accepted is None:
        return None
    return {
        "reference": reference_to_json(accepted.reference),
        "record": accepted.record,
        "expires_ms": accepted.expires_ms,
    }


def _accepted(read: _Accepted | None, seq: int) -> Accepted | None:
    if read is None:
        return None
    record = seq if read.record is None else read.record
    return Accepted(reference_from_json(read.reference), record, read.expires_ms)
