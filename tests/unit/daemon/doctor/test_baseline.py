from typing import Any

from swt3_agent.daemon.doctor.baseline import check_baseline
from swt3_agent.daemon.doctor.finding import Level

IN_FORCE: dict[str, Any] = {"record": 12, "unjudged": [], "expired": False}


def found(in_force: Any = IN_FORCE, staged: Any = None) -> list[tuple[Level, str]]:
    shown = {"in_force": in_force, "staged": staged}
    return [(finding.level, finding.code) for finding in check_baseline(shown)]


def test_a_boot_state_that_is_compared_with_nothing_is_told() -> None:
    assert found(None) == [(Level.WARN, "NO_BASELINE")]
    assert list(check_baseline(None)) == []


def test_what_is_not_judged_and_what_was_forgotten_is_told() -> None:
    assert found() == [(Level.OK, "")]
    assert found(IN_FORCE | {"unjudged": [1]}) == [(Level.WARN, "REFERENCE_PARTIAL")]
    forgotten = {"record": 30, "expired": True}
    assert found(staged=forgotten) == [(Level.WARN, "BASELINE_EXPIRED"), (Level.OK, "")]
    assert found(staged=forgotten | {"expired": False}) == [(Level.OK, "")]
