import pytest

from swt3_agent.daemon.service import STATUS_PERIOD_S, _watch_period_s


@pytest.mark.parametrize(
    ("environ", "period_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({}, STATUS_PERIOD_S),
        ({"WATCHDOG_USEC": ""}, STATUS_PERIOD_S),
        ({"WATCHDOG_USEC": "0"}, STATUS_PERIOD_S),
        ({"WATCHDOG_USEC": "soon"}, STATUS_PERIOD_S),
    ],
)
def test_signs_of_life_come_twice_as_often_as_asked_for(
    environ: dict[str, str], period_s: float
) -> None:
    assert _watch_period_s(environ) == period_s
