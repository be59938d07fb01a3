import pytest

from swt3_agent.daemon.pace import MOST_REST_S, REST, Pace


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def rest_after(seconds: float) -> float:
    """How long a pace has heads wait after one that took ``seconds``."""
    clock = Clock()
    pace = Pace(clock)
    with pace.busy():
        clock.now_s += seconds
    ended_s = clock.now_s
    while not pace.rested:
        clock.now_s += 0.125
    return clock.now_s - ended_s


@pytest.mark.parametrize("seconds", [0.0, 0.5, 3.0, 8.0])
def test_a_slow_tpm_stretches_the_cadence(seconds: float) -> None:
    assert rest_after(seconds) == REST * seconds


def test_the_rest_is_bounded() -> None:
    assert rest_after(500.0) == MOST_REST_S


def test_the_first_head_waits_for_nothing() -> None:
    assert Pace(Clock()).rested


def test_a_tpm_that_fails_slowly_gets_its_rest_too() -> None:
    clock = Clock()
    pace = Pace(clock)

    def fail() -> None:
        with pace.busy():
            clock.now_s += 30.0
            raise OSError("lost")

    with pytest.raises(OSError, match="lost"):
        fail()
    assert not pace.rested
