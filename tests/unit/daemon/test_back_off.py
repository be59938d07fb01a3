from swt3_agent.daemon.back_off import FIRST_S, LONGEST_S, BackOff


def test_waits_double_until_the_longest() -> None:
    clock = [1000.0]
    back_off = BackOff(lambda: clock[0])
    assert back_off.due
    for wait in (FIRST_S, 20, 40, 80, 160, LONGEST_S, LONGEST_S):
        back_off.failed()
        seen = []
        for step in (wait - 1, 1):
            clock[0] += step
            seen.append(back_off.due)
        assert seen == [False, True]


def test_who_asks_before_the_time_makes_nobody_wait_longer() -> None:
    clock = [1000.0]
    back_off = BackOff(lambda: clock[0])
    for _ in range(5):
        back_off.failed()
    clock[0] += FIRST_S
    seen = [back_off.due]
    assert seen == [True]
