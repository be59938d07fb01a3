"""The node's clock against the TPM's: neither can be set unseen as long as the other is not.

UTC minus the TPM's clock is constant while the TPM has power and rises over the time that it has
none. Where it falls, records are dated back (docs/formats.md, "What a signed head proves").
"""

from dataclasses import dataclass
from typing import Protocol

from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.tpm_clock import lag_ms, tolerance_ms


class TpmClock(Protocol):
    """What the TPM says of its clock, attested or not."""

    @property
    def clock_ms(self) -> int: ...
    @property
    def reset_count(self) -> int: ...
    @property
    def restart_count(self) -> int: ...
    @property
    def safe(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Moment:
    """Both clocks at one time, in milliseconds, and how often the TPM was reset and resumed.

    ``safe`` is False as long as the TPM's clock may lag behind what it had shown before.
    """

    utc_ms: int
    clock_ms: int
    reset_count: int
    restart_count: int
    safe: bool

    @classmethod
    def of(cls, clock: TpmClock, utc_ms: int) -> "Moment":
        """The moment of ``clock``, in an attestation or read."""
        return cls(utc_ms, clock.clock_ms, clock.reset_count, clock.restart_count, clock.safe)

    @property
    def offset_ms(self) -> int:
        """UTC minus the TPM's clock."""
        return self.utc_ms - self.clock_ms


def check_clocks(earlier: Moment, now: Moment) -> tuple[Reason, ...]:
    """What is wrong with the clocks between two moments of one TPM."""
    same_power = (earlier.reset_count, earlier.restart_count) == (
        now.reset_count,
        now.restart_count,
    )
    if now.clock_ms + lag_ms(earlier.reset_count, now.reset_count) < earlier.clock_ms:
        return (_clock_fell(earlier, now),)
    step_ms = now.offset_ms - earlier.offset_ms
    elapsed_ms = now.clock_ms - earlier.clock_ms
    most_ms = tolerance_ms(elapsed_ms)
    fall_ms = max(elapsed_ms, 0) - (now.utc_ms - earlier.utc_ms)  # a lag takes no time back
    if fall_ms > most_ms:
        return (_backdated(fall_ms),)
    if same_power and step_ms > most_ms:
        return (_step(step_ms),)
    return ()


def reference(earlier: Moment | None, now: Moment, *, parted: bool) -> Moment:
    """What the next moment is held against: where UTC was furthest ahead of the TPM's clock, so
    that many small steps back are as good as one. ``parted``: that was said just now."""
    if earlier is None or parted or now.offset_ms >= earlier.offset_ms:
        return now
    return earlier


def _clock_fell(earlier: Moment, now: Moment) -> Reason:
    return Reason(
        "TPM_CLOCK_FELL",
        f"the TPM's clock is at {now.clock_ms} ms, and it was at {earlier.clock_ms} ms",
        "the TPM was cleared, or it is another one: enrol the node again if that was you",
    )


def _backdated(fall_ms: int) -> Reason:
    return Reason(
        "CLOCK_BACKDATED",
        f"the node's clock was set back by {fall_ms // 1000} s against the TPM's: what is recorded"
        " now is dated back",
        "find out what set it, and let network time discipline it; a verifier reports this for"
        " good",
    )


def _step(step_ms: int) -> Reason:
    return Reason(
        "CLOCK_STEP",
        f"the node's clock was set forward by {step_ms // 1000} s against the TPM's",
        "find out what set it, and let network time discipline it",
    )
