"""A software TPM for every test that wants one: made once, copied for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from swt3_agent.tpm.software import SoftwareTpm
from tests.support.software_tpm import manufacture, short_directory, start_copy


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
    """A software TPM that runs; stop it, and start it again in ``room / "tpm"``."""
    with start_copy(template, room / "tpm") as software_tpm:
        yield software_tpm
