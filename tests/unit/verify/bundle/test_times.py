"""Between which times a record came into the log, by the node's clock and by the TPM's."""

from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.verify.bundle.heads import HeadChain
from swt3_agent.verify.bundle.signers import Signers
from swt3_agent.verify.bundle.times import HeadTimes, Interval
from tests.support.forge import LOG_ID, NODE_ID, UTC_MS, ak_public
from tests.support.paper_heads import Paper

HOUR = 3_600_000
Change = tuple[str, int]


def times_of(*changes: Change) -> HeadTimes:
    """Heads 10 s apart, over 1, 2, 3 … records, with a change before each but the first."""
    node, times = Paper(), HeadTimes()
    chain = HeadChain.of(NODE_ID, LOG_ID, Signers.of([ak_public()]), 13)
    for what, by in (("none", 0), *changes):
        if what == "off":
            node.reboot()
        if what in ("utc", "off"):
            node.utc_ms += by
        quoted = chain.see_head(node.head())
        assert quoted is not None
        times.see_quoted(quoted)
    return times


def test_a_record_came_between_two_heads() -> None:
    times = times_of(("none", 0), ("none", 0))
    assert times.interval_of(0) == Interval(None, UTC_MS)
    assert times.interval_of(1) == Interval(UTC_MS, UTC_MS + 10_000)
    assert times.interval_of(2) == Interval(UTC_MS + 10_000, UTC_MS + 20_000)
    assert times.interval_of(3) == Interval(UTC_MS + 20_000, None)


def test_a_clock_that_was_set_widens_the_interval() -> None:
    forward = times_of(("utc", HOUR)).interval_of(1)
    assert forward == Interval(UTC_MS, UTC_MS + HOUR + 10_000, contradicted=True)
    back = times_of(("utc", -HOUR)).interval_of(1)
    assert back == Interval(UTC_MS - HOUR, UTC_MS + 10_000, contradicted=True)


def test_time_that_the_tpm_was_off_contradicts_nothing() -> None:
    assert times_of(("off", 24 * HOUR)).interval_of(1) == Interval(
        UTC_MS, UTC_MS + 24 * HOUR + 10_000
    )
    assert times_of(("off", -HOUR)).interval_of(1).contradicted


@given(st.integers(-(2**40), 2**40))
def test_an_interval_never_ends_before_it_begins(step: int) -> None:
    interval = times_of(("utc", step)).interval_of(1)
    assert interval.not_before_ms is not None
    assert interval.not_after_ms is not None
    assert interval.not_before_ms <= interval.not_after_ms
