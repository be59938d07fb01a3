"""What the client says of anchors that never arrived."""

from collections import deque
from typing import Any

import pytest

from swt3_agent.client.tally import Tally


def test_the_end_tells_how_many_were_lost_in_all(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(deque[tuple[Any, ...]]([()] * 30))
    tally.lose(500, "the agent answers DISK_FULL")
    tally.end()
    assert "anchors were lost: 500 of them" in caplog.text
    assert "530 anchors were lost in all" in caplog.text


def test_an_end_without_losses_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    Tally(deque[tuple[Any, ...]]()).end()
    assert caplog.records == []
