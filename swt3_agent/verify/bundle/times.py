"""Between which heads a record came into the log, and so when (docs/formats.md, "When").

The record was not in the log at the last head that does not cover it, and was at the first that
does. What UTC it was at each is the node's own word; how far apart they were the TPM's clock says
too. Where the two disagree the interval is widened to what either head makes of it.
"""

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field

from swt3_agent.protocol.tpm_clock import tolerance_ms
from swt3_agent.verify.bundle.heads import QuotedHead


@dataclass(frozen=True, slots=True)
class Interval:
    """UTC in milliseconds; None where no head lies on that side. ``contradicted``: the node's clock
    and the TPM's disagree on how far apart the two heads were."""

    not_before_ms: int | None
    not_after_ms: int | None
    contradicted: bool = False

    def to_json(self) -> dict[str, object]:
        """JSON-able form."""
        return {
            "not_before_ms": self.not_before_ms,
            "not_after_ms": self.not_after_ms,
            "contradicted": self.contradicted,
        }


@dataclass(slots=True)
class HeadTimes:
    """Signed heads in order: sizes, the node's time, the TPM's clock and reset count."""

    _sizes: "array[int]" = field(default_factory=lambda: array("Q"))
    _utc: "array[int]" = field(default_factory=lambda: array("Q"))
    _clocks: "array[int]" = field(default_factory=lambda: array("Q"))
    _resets: "array[int]" = field(default_factory=lambda: array("L"))

    def see_quoted(self, head: QuotedHead) -> None:
        """The next signed head."""
        self._sizes.append(head.note.size)
        self._utc.append(head.note.utc_ms)
        self._clocks.append(head.attest.clock_ms)
        self._resets.append(head.attest.reset_count)

    def interval_of(self, seq: int) -> Interval:
        """When record ``seq`` came into the log."""
        after = bisect_right(self._sizes, seq)  # the first head that covers it
        before = after - 1
        if before < 0 or after == len(self._sizes):
            return Interval(
                self._utc[before] if before >= 0 else None,
                self._utc[after] if after < len(self._sizes) else None,
            )
        return self._between(before, after)

    def _between(self, before: int, after: int) -> Interval:
        early, late = self._utc[before], self._utc[after]
        elapsed = max(0, self._clocks[after] - self._clocks[before])  # at least: less when off
        slack = tolerance_ms(elapsed)
        same_run = self._resets[before] == self._resets[after]
        more = late - early - elapsed
        if more < -slack or (same_run and more > slack):
            return Interval(
                max(0, min(early, late - elapsed)), max(late, early + elapsed), contradicted=True
            )
        return Interval(min(early, late), max(early, late))  # a clock may drift back a little
