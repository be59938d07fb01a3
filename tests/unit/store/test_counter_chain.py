from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.store.counter_chain import (
    PresentCounter,
    StatedCounter,
    certified,
    take_up,
)

INDEX, NAME = 0x01800053, b"\x00\x0b" + bytes(32)
STATED = StatedCounter(INDEX, NAME, 7)
PROMISED = replace(STATED, promised=True)


def present(value: int, *, defined: bool = False, index: int = INDEX) -> PresentCounter:
    return PresentCounter(index, NAME, value, defined)


@pytest.mark.parametrize(
    ("stated", "found", "code"),
    [
        (None, present(1, defined=True), None),
        (None, present(40), None),
        (STATED, present(7), None),
        (STATED, present(8), "COUNTER_GAP"),
        (STATED, present(9), "COUNTER_GAP"),
        (STATED, present(6), "COUNTER_FELL"),
        (PROMISED, present(7), None),
        (PROMISED, present(8), None),
        (PROMISED, present(9), "COUNTER_GAP"),
        (PROMISED, present(6), "COUNTER_FELL"),
        (STATED, present(8, defined=True), "COUNTER_REDEFINED"),
        (PROMISED, present(8, defined=True), "COUNTER_REDEFINED"),
        (STATED, present(3, defined=True), "COUNTER_FELL"),
        (STATED, present(7, index=INDEX + 1), "COUNTER_REDEFINED"),
        (STATED, replace(present(7), name=b"\x00\x0b" + b"x" * 32), "COUNTER_REDEFINED"),
    ],
)
def test_only_what_the_log_announced_explains_a_value(
    stated: StatedCounter | None, found: PresentCounter, code: str | None
) -> None:
    taken, findings = take_up(stated, found)
    assert [finding.code for finding in findings] == ([] if code is None else [code])
    assert taken is not None
    assert (taken.index, taken.name, taken.value) == (found.index, found.name, found.value)
    assert all(finding.detail and finding.remedy for finding in findings)


def test_a_step_that_did_not_happen_may_still_happen() -> None:
    taken, _ = take_up(PROMISED, present(7))
    assert taken is not None
    assert taken.promised
    taken, _ = take_up(taken, present(8))
    assert taken is not None
    assert not taken.promised


def test_certificates_promise_a_step_and_keep_the_promise() -> None:
    before = certified(STATED, 7, step_follows=True)
    assert (before.value, before.promised) == (7, True)
    after = certified(before, 8, step_follows=False)
    assert (after.value, after.promised) == (8, False)


@given(
    stated=st.none() | st.builds(StatedCounter, st.just(INDEX), st.just(NAME), st.integers(0, 9)),
    value=st.integers(0, 12),
    defined=st.booleans(),
)
def test_what_was_told_once_is_not_told_again(
    stated: StatedCounter | None, value: int, *, defined: bool
) -> None:
    taken, _ = take_up(stated, present(value, defined=defined))
    assert take_up(taken, present(value)) == (taken, ())
