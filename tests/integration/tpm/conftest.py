from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swt3_agent.protocol.checkpoint import QUOTED_PCRS
from swt3_agent.tpm.client import Tpm
from swt3_agent.tpm.software import SoftwareTpm

OpenTpm = Callable[..., Tpm]


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
