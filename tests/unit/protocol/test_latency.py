"""Latency factors at level 3: docs/protocol.md 6.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.protocol.fingerprint import MAX_SAFE_INTEGER
from swt3_agent.protocol.latency import bucket_top, bucketed
from swt3_agent.protocol.procedures import judge

_integers = st.integers(0, MAX_SAFE_INTEGER)


@pytest.mark.parametrize(
    ("milliseconds", "top"),
    [(0, 1), (1, 1), (2, 2), (3, 5), (6, 10), (99, 100), (101, 200), (30_001, 50_000)],
)
def test_buckets_are_1_2_and_5_of_each_decade(milliseconds: int, top: int) -> None:
    assert bucket_top(milliseconds) == top


@given(a=_integers, b=_integers, c=st.integers(0, 1))
@pytest.mark.parametrize("procedure", ["AI-INF.2", "AI-TOOL.1"])
def test_no_verdict_changes(procedure: str, a: int, b: int, c: int) -> None:
    if procedure == "AI-TOOL.1":
        a = 1
    coarse = bucketed(procedure, (a, b, c), 3)
    assert judge(procedure, *coarse) is judge(procedure, a, b, c)
    assert (coarse[0], coarse[2]) == (a, c)
    assert coarse[1] <= MAX_SAFE_INTEGER
    assert bucketed(procedure, coarse, 3) == coarse


@pytest.mark.parametrize("level", [0, 1, 2])
def test_below_level_3_milliseconds_travel(level: int) -> None:
    assert bucketed("AI-INF.2", (30_000, 1234, 0), level) == (30_000, 1234, 0)


def test_only_latencies_are_coarse() -> None:
    assert bucketed("AI-ENV.1", (42, 85, 1), 3) == (42, 85, 1)
    assert bucketed("AI-INF.1", (1, 1, 0), 3) == (1, 1, 0)
