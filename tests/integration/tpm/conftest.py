from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swt3_agent.protocol.checkpoint import QUOTED_PCRS
from swt3_agent.tpm.client import Tpm
from swt3_agent.tpm.software import SoftwareTpm
from tests.support.software_tpm import manufacture, short_directory, start_copy

OpenTpm = Callable[..., Tpm]


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    with short_directory() as directory:
        yield manufacture(directory / "tpm")


@pytest.fixture
def room() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory


@pytest.fixture
def swtpm(template: Path, room: Path) -> Iterator[SoftwareTpm]:
    with start_copy(template, room / "tpm") as software_tpm:
        yield software_tpm


@pytest.fixture
def open_tpm(swtpm: SoftwareTpm, room: Path) -> Iterator[OpenTpm]:
    """Makes handles on the software TPM that are closed after the test."""
    handles: list[Tpm] = []

    def make(timeout_s: float = 30.0) -> Tpm:
        handle = Tpm(swtpm.tcti, room / "keys", quoted_pcrs=QUOTED_PCRS, timeout_s=timeout_s)
        handles.append(handle)
        return handle

    yield make
    for handle in handles:
        handle.close()
