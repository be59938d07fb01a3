from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.protocol.days import (
    MOST_DAYS,
    Seal,
    date_of,
    day_to_seal,
    days_to_seal,
    own_day,
    parse_date,
    seal_of,
    utc_day,
)

DAY_S = 86_400


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("moment", "newest"),
    [
        ("2026-03-02T00:00:00", "2026-02-28"),
        ("2026-03-02T00:14:59", "2026-02-28"),
        ("2026-03-02T00:15:00", "2026-03-01"),
        ("2026-03-02T23:59:59", "2026-03-01"),
        ("2026-03-29T03:30:00", "2026-03-28"),  # clocks go forward in Europe: nothing to us
    ],
)
def test_a_day_can_be_sealed_a_quarter_past_its_midnight(moment: str, newest: str) -> None:
    assert date_of(day_to_seal(at(moment))) == newest


@pytest.mark.parametrize(
    ("epoch", "received", "day"),
    [
        ("2026-03-01T23:59:59", "2026-03-02T00:10:00", "2026-03-01"),
        ("2026-03-02T00:00:00", "2026-03-02T00:10:00", "2026-03-02"),
        ("2027-01-01T00:00:00", "2026-03-02T00:10:00", "2026-03-02"),  # not later than received
        ("1970-01-01T00:00:00", "2026-03-02T00:10:00", "1970-01-01"),
    ],
)
def test_an_anchors_own_day_is_that_of_its_epoch_or_of_its_arrival(
    epoch: str, received: str, day: str
) -> None:
    assert date_of(own_day(int(at(epoch)), int(at(received)) * 10**9)) == day


def test_a_seal_takes_its_day_what_is_late_and_what_a_wrong_clock_left() -> None:
    first, second = Seal(10, 0, 100, 11), Seal(11, 90, 200, 12)
    assert seal_of((first, second), 50, 10) is first
    assert seal_of((first, second), 95, 11) is second  # of the day that ran
    assert seal_of((first, second), 95, 3) is first
    assert seal_of((first, second), 95, 400) is first
    assert seal_of((first, second), 150, 10) is second
    assert seal_of((first, second), 150, 12) is None
    assert seal_of((first, second), 200, 10) is None


def test_days_that_anchors_name_are_sealed_in_order_and_the_newest_always() -> None:
    assert days_to_seal([], 10, 14) == [14]
    assert days_to_seal([12, 11, 14, 15, 10, -5], 10, 14) == [11, 12, 14]
    many = days_to_seal(range(1000), 0, 1000)
    assert len(many) == MOST_DAYS
    assert many[-2:] == [999, 1000]


@given(st.integers(-700_000, 2_900_000))
def test_dates_are_written_and_read(day: int) -> None:
    assert parse_date(date_of(day)) == day
    assert utc_day(day * DAY_S) == utc_day(day * DAY_S + DAY_S - 1) == day


@pytest.mark.parametrize("text", ["", "20260330", "2026-3-30", "2026-02-30", "2026-W14-1", "today"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_date(text)
