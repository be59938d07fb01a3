"""Times for minting that never repeat, in bounded memory."""

from swt3_agent.protocol import unique_time
from swt3_agent.protocol.unique_time import UniqueMilliseconds


def test_equal_keys_get_rising_times_while_the_clock_stands_or_falls() -> None:
    clock = iter([5_000_000, 5_000_000, 2_000_000, 9_000_000])
    times = UniqueMilliseconds(lambda: next(clock))
    assert [times.next("key") for _ in range(4)] == [5, 6, 7, 9]


def test_what_cannot_be_repeated_is_forgotten() -> None:
    now = [0]
    times = UniqueMilliseconds(lambda: now[0])
    for number in range(3 * unique_time._MOST_REMEMBERED):
        now[0] += 1_000_000
        times.next(number)
    assert len(times._last) <= unique_time._MOST_REMEMBERED
    now[0] -= 1_000_000
    assert times.next(number) == number + 2
