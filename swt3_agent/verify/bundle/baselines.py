"""By whose word the node held its boot state for good (docs/formats.md, "Baselines").

A PASS of AI-HW.3 is the node's own: an assessor has to see who accepted what it was held against.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from swt3_agent.protocol.record import Record
from swt3_agent.verify.moments import utc_text

_SHOWN = 20  # changes and records that a terminal gets
_MOST = 1000  # of each that are kept
_MOST_NAME = 64
_MOST_REASON = 500


class _By(msgspec.Struct, frozen=True):
    uid: int | None = None
    user: str | None = None


class _Payload(msgspec.Struct, frozen=True):
    subject: str
    event: str
    by: _By
    reason: str


@dataclass(frozen=True, slots=True)
class BaselineChange:
    """One baseline record, in the words of the node."""

    seq: int
    received_ms: int
    subject: str
    event: str
    uid: int | None
    user: str | None
    reason: str

    def to_json(self) -> dict[str, object]:
        """JSON-able form."""
        return {
            "seq": self.seq,
            "received_ms": self.received_ms,
            "subject": self.subject,
            "event": self.event,
            "uid": self.uid,
            "user": self.user,
            "reason": self.reason,
        }


@dataclass(slots=True)
class Baselines:
    """``changes`` are the newest of those in the range; ``judged_by`` the first records that
    verdicts name as what they were held against."""

    changes: deque[BaselineChange] = field(default_factory=lambda: deque(maxlen=_MOST))
    judged_by: set[int] = field(default_factory=set)

    def see_change(self, record: Record) -> None:
        """A baseline record. Raises ValueError for one that is none."""
        read = msgspec.json.decode(record.payload, type=_Payload)
        self.changes.append(
            BaselineChange(
                record.seq,
                record.received_ns // 1_000_000,
                read.subject[:_MOST_NAME],
                read.event[:_MOST_NAME],
                read.by.uid,
                None if read.by.user is None else read.by.user[:_MOST_NAME],
                read.reason[:_MOST_REASON],
            )
        )

    def see_verdict(self, baseline: int | None) -> None:
        """What a verdict was held against, as its record says."""
        if baseline is not None and len(self.judged_by) < _MOST:
            self.judged_by.add(baseline)

    def to_json(self) -> dict[str, object]:
        """Members of ``bundle`` in a report."""
        return {
            "baselines": [change.to_json() for change in self.changes],
            "judged_by": sorted(self.judged_by),
        }

    def lines(self) -> Iterator[str]:
        """What a terminal gets."""
        for change in list(self.changes)[-_SHOWN:]:
            who = "a user" if change.user is None else change.user
            yield (
                f"  baseline    record {change.seq}, {change.event} by {who} (uid {change.uid}),"
                f" {utc_text(change.received_ms)}:"
            )
            yield f"              {change.reason}"
        if (more := len(self.changes) - _SHOWN) > 0:
            yield f"  baseline    {more} earlier changes: --json lists them"
        elsewhere = sorted(self.judged_by - {change.seq for change in self.changes})
        for seq in elsewhere[:_SHOWN]:
            yield (
                f"  baseline    verdicts were held against that of record {seq}, which is not in"
                " this bundle"
            )

    def limits(self) -> Iterator[str]:
        """What a reader must not conclude from a verdict that was held against one."""
        if self.judged_by:
            yield (
                "That AI-HW.3 would pass by your own rules: it was held against the node's own"
                " baseline, which a user of the node accepted. --reference takes yours."
            )
