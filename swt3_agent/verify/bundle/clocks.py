"""The order of heads by the TPM's counts and clock, and the node's clock against it.

docs/formats.md, "What a signed head proves". Within a boot the TPM is not reset and its clock runs;
across boots its clock falls no further than a power cut explains. UTC minus TPM clock is constant
within a boot and rises over the time that the TPM was off: a fall is backdating.
"""

from dataclasses import dataclass, field

from swt3_agent.protocol.checkpoint import CheckpointNote
from swt3_agent.protocol.tpm_clock import lag_ms, tolerance_ms
from swt3_agent.tcg.attest import Attest
from swt3_agent.verify.bundle.irregularity import Irregularity
from swt3_agent.verify.moments import utc_text
from swt3_agent.verify.refusal import refusal

MOST_RESETS = 2**24
"""One reset a minute for thirty years. A key under the owner hierarchy shows its counts displaced
by 32 random bits (TPM 2.0 Part 1, "Obfuscation"), so that floors mean nothing for them."""


@dataclass(slots=True)
class Clocks:
    """Takes signed heads in order; ``irregularities`` are what is said of the node's clock."""

    irregularities: list[Irregularity] = field(default_factory=list)
    _last: tuple[Attest, CheckpointNote] | None = None
    _highest: tuple[int, int] | None = None
    """UTC minus TPM clock where that was highest, and the TPM clock there."""
    _runs: dict[str, int] = field(default_factory=dict)
    """The reset count of each boot."""

    def take(self, attest: Attest, note: CheckpointNote) -> None:
        """The next head. Raises FormatError ``HEAD_OBFUSCATED``, ``HEAD_CLEARED``, ``HEAD_RESET``,
        ``HEAD_RESETS``, ``HEAD_RESTARTS`` or ``HEAD_CLOCK``."""
        if max(attest.reset_count, attest.restart_count) >= MOST_RESETS:
            raise refusal(
                "HEAD_OBFUSCATED",
                f"the TPM states {attest.reset_count} resets and {attest.restart_count} restarts:"
                " a key outside of the endorsement hierarchy shows counts like these",
            )
        if self._last is not None:
            earlier, earlier_note = self._last
            if earlier_note.boot_id == note.boot_id:
                _check_same_boot(attest, earlier)
            else:
                _check_across_boots(attest, earlier)
        if self._runs.setdefault(note.boot_id, attest.reset_count) != attest.reset_count:
            # What is judged of the one boot would stand for the other.
            raise refusal(
                "HEAD_RESET", f"two runs of the TPM go by the name of boot {note.boot_id}"
            )
        self._compare_clocks(attest, note)
        self._last = attest, note

    def _compare_clocks(self, attest: Attest, note: CheckpointNote) -> None:
        offset = note.utc_ms - attest.clock_ms
        fell = self._fall(note.utc_ms, attest.clock_ms)
        if fell:
            detail = f"the head of {note.size} records says {utc_text(note.utc_ms)}, {fell} ms less"
            detail += " than an earlier head and the TPM's clock since then make it"
            self.irregularities.append(Irregularity("CLOCK_BACKDATED", detail, decides=True))
        elif self._last is not None and self._last[1].boot_id == note.boot_id:
            since = self._last[0].clock_ms
            step = offset - (self._last[1].utc_ms - since)
            if step > tolerance_ms(attest.clock_ms - since):
                detail = f"the node's clock was set by {step} ms before the head of {note.size}"
                self.irregularities.append(Irregularity("CLOCK_STEP", f"{detail} records"))
        if self._highest is None or fell or offset >= self._highest[0]:
            self._highest = offset, attest.clock_ms

    def _fall(self, utc_ms: int, clock_ms: int) -> int:
        """By how much UTC is behind what the TPM clock since makes it, beyond what drift explains;
        0: it is not."""
        if self._highest is None:
            return 0
        highest, since = self._highest
        fell = highest + max(since, clock_ms) - utc_ms  # a clock that lags takes no time back
        return fell if fell > tolerance_ms(clock_ms - since) else 0


def _check_same_boot(attest: Attest, earlier: Attest) -> None:
    if attest.reset_count != earlier.reset_count:
        _check_cleared(attest, earlier)
        raise refusal("HEAD_RESET", "the TPM was reset and the system was not")
    if attest.restart_count < earlier.restart_count:
        raise refusal("HEAD_RESTARTS", "the TPM's restart count fell within a boot")
    if attest.clock_ms < earlier.clock_ms:
        safe = "" if attest.safe else ", which the TPM says is not safe"
        raise refusal("HEAD_CLOCK", f"the TPM's clock{safe} fell under the same counts")


def _check_across_boots(attest: Attest, earlier: Attest) -> None:
    _check_cleared(attest, earlier)
    if attest.reset_count < earlier.reset_count:
        raise refusal("HEAD_RESETS", "the TPM's reset count fell: it is another, or was set back")
    same = attest.reset_count == earlier.reset_count
    if same and attest.restart_count < earlier.restart_count:
        raise refusal("HEAD_RESTARTS", "the TPM's restart count fell under the same reset count")
    if attest.clock_ms + lag_ms(earlier.reset_count, attest.reset_count) < earlier.clock_ms:
        raise refusal("HEAD_CLOCK", "the TPM's clock fell by more than a power cut explains")


def _check_cleared(attest: Attest, earlier: Attest) -> None:
    """TPM2_Clear sets clock and counts to zero (TPM 2.0 Part 3, 24.6)."""
    if attest.reset_count < earlier.reset_count and attest.clock_ms < earlier.clock_ms:
        raise refusal(
            "HEAD_CLEARED", "the TPM's clock and reset count fell: it was cleared, or is another"
        )
