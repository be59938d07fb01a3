from dataclasses import replace

import pytest

from swt3_agent.protocol.tpm_clock import CLOCK_LAG_MS
from swt3_agent.store.clocks import Moment, check_clocks, reference

HOUR_MS = 3_600_000
THEN = Moment(
    utc_ms=1_800_000_000_000, clock_ms=50_000_000, reset_count=7, restart_count=1, safe=True
)


def later(utc_ms: int, clock_ms: int, resets: int = 0) -> Moment:
    return replace(
        THEN,
        utc_ms=THEN.utc_ms + utc_ms,
        clock_ms=THEN.clock_ms + clock_ms,
        reset_count=THEN.reset_count + resets,
    )


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (later(0, 0), None),
        (later(HOUR_MS, HOUR_MS), None),
        (later(50_000, 0), None),
        (later(HOUR_MS, HOUR_MS - 120_000), None),  # an oscillator that is 3 % slow
        (later(HOUR_MS - 120_000, HOUR_MS), None),
        (later(120_000, 0), "CLOCK_STEP"),
        (later(0, 120_000), "CLOCK_BACKDATED"),
        (later(-HOUR_MS, 10_000), "CLOCK_BACKDATED"),
        (later(0, -1), "TPM_CLOCK_FELL"),
        (later(HOUR_MS, 5_000, resets=1), None),  # it was without power for most of that hour
        (later(5_000, 5_000, resets=1), None),
        (later(CLOCK_LAG_MS, -CLOCK_LAG_MS, resets=1), None),  # after a power cut
        (later(-CLOCK_LAG_MS, -CLOCK_LAG_MS, resets=1), "CLOCK_BACKDATED"),  # nor does that hide it
        (later(HOUR_MS, -CLOCK_LAG_MS - 1, resets=1), "TPM_CLOCK_FELL"),
        (later(-HOUR_MS, 5_000, resets=1), "CLOCK_BACKDATED"),
    ],
)
def test_utc_follows_the_clock_of_the_tpm(now: Moment, code: str | None) -> None:
    findings = check_clocks(THEN, now)
    assert [finding.code for finding in findings] == ([] if code is None else [code])
    assert all(finding.detail and finding.remedy for finding in findings)


def test_which_way_the_clock_was_set_is_said() -> None:
    (back,) = check_clocks(THEN, later(-HOUR_MS, 10_000))
    (forward,) = check_clocks(THEN, later(2 * HOUR_MS, 10_000))
    assert "set back by 3610 s" in back.detail
    assert "set forward by 7190 s" in forward.detail


def test_small_steps_back_add_up() -> None:
    held, codes = THEN, []
    for number in range(1, 5):
        now = later(-20_000 * number, 0)
        findings = check_clocks(held, now)
        codes += [finding.code for finding in findings]
        held = reference(held, now, parted=bool(findings))
    assert codes == ["CLOCK_BACKDATED"]
    assert held == now
