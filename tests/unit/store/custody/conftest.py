from collections.abc import Iterator
from pathlib import Path

import pytest

from swt3_agent.store.state import Layout, StateDirectory


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    with StateDirectory.open(tmp_path / "state") as state:
        yield state.layout


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.mkdir()
    return path
