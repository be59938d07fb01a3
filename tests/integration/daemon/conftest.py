from collections.abc import Iterator
from pathlib import Path

import pytest

from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from tests.support.agent import AgentProcess


@pytest.fixture
def software_tpm(tmp_path: Path) -> Iterator[SoftwareTpm]:
    with start_software_tpm(tmp_path / "tpm") as tpm:
        yield tpm


@pytest.fixture
def agent(tmp_path: Path, software_tpm: SoftwareTpm) -> Iterator[AgentProcess]:
    """A running daemon on a software TPM."""
    with AgentProcess(tmp_path, software_tpm.tcti) as running:
        yield running


@pytest.fixture
def agent_without_tpm(tmp_path: Path) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path) as running:
        yield running
