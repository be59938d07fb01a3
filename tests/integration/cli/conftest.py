from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent import AgentProcess


@pytest.fixture
def agent_without_tpm(tmp_path: Path) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path) as running:
        yield running
