"""What several packages want: a software TPM, made once and copied for each test; a Python that
runs the public SDK."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from swt3_agent.tpm.software import SoftwareTpm
from tests.support.software_tpm import manufacture, short_directory, start_copy

SDK_PYTHON = Path(__file__).parents[2] / "scripts" / "sdk-python"
UNPACK_TIMEOUT_S = 300.0


@pytest.fixture(scope="session")
def sdk_python() -> str:
    """An interpreter that can import the SDK; where there is none the tests are skipped aloud."""
    found = subprocess.run(
        [str(SDK_PYTHON)], capture_output=True, text=True, timeout=UNPACK_TIMEOUT_S, check=False
    )
    if found.returncode:
        pytest.skip(f"the public SDK cannot be run: {found.stderr.strip()}")
    return found.stdout.strip()


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
