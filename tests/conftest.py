"""Rules for the whole suite."""

import os
import signal
from collections.abc import Generator

import pytest

TEST_LIMIT_S = 180.0
"""No test takes a tenth of it; one that waits for what never comes fails instead of hanging."""


def pytest_configure() -> None:
    """Let interrupts interrupt: a suite started in the background inherits them ignored, and so
    would every program that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Interrupt whatever the test waits for once its time is over, and again if it waits on."""

    def give_up(*_: object) -> None:
        pytest.fail(f"{item.nodeid} was not done within {TEST_LIMIT_S:g} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, TEST_LIMIT_S, TEST_LIMIT_S / 4)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what asserts a refusal to ``scripts/test-unprivileged``: root is refused nothing."""
    if os.geteuid() != 0:
        return
    skip = pytest.mark.skip(reason="root is refused nothing: scripts/test-unprivileged runs this")
    for item in items:
        if item.get_closest_marker("permissions"):
            item.add_marker(skip)
