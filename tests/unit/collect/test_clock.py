import os

from swt3_agent.collect.clock import read_clock


def test_the_kernel_answers_with_bounds_of_its_error() -> None:
    clock = read_clock()
    assert clock.max_error_us >= 0
    assert clock.estimated_error_us >= 0


def test_asking_changes_nothing() -> None:
    before = os.times()
    assert read_clock().synchronised == read_clock().synchronised
    assert os.times() >= before
