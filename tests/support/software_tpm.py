"""Software TPMs for tests: manufactured once, copied and started where one is needed."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm

TOOL_TIMEOUT_S = 60


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for the name of a Unix socket, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="swt3-") as directory:
        yield Path(directory)


def manufacture(directory: Path) -> Path:
    """The state of a new TPM, for ``start_copy``."""
    start_software_tpm(directory).stop()
    return directory


def start_copy(template: Path, directory: Path) -> SoftwareTpm:
    """Start a TPM from manufactured state: its keys are those of every other copy."""
    shutil.copytree(template, directory, ignore=shutil.ignore_patterns("*.sock*", "swtpm.log"))
    return start_software_tpm(directory)


def tpm2(tcti: str, *command: str) -> str:
    """Run one of tpm2-tools against the TPM, which serves nobody else meanwhile."""
    result = subprocess.run(
        [f"tpm2_{command[0]}", "-T", tcti, *command[1:]],
        capture_output=True,
        text=True,
        timeout=TOOL_TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
