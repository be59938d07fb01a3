"""A running intake on a small sink, for tests that only need those."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.relay.harness import RunningIntake, serving
from tests.integration.relay.list_sink import ListSink


@pytest.fixture
def sink() -> Iterator[ListSink]:
    sink = ListSink()
    yield sink
    sink.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "intake.sock"


@pytest.fixture
def intake(path: Path, sink: ListSink) -> Iterator[RunningIntake]:
    with serving(path, sink) as running:
        yield running
