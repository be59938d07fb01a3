"""A daemon on a software TPM, directly or through something that comes between the two."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from swt3_agent.tpm.software import SoftwareTpm
from tests.support.tpm_proxy import TpmProxy
from tests.support.victims import Victim


@pytest.fixture
def victim(room: Path, swtpm: SoftwareTpm) -> Iterator[Victim]:
    running = Victim(room, swtpm.tcti)
    with running:
        yield running


@pytest.fixture
def impatient(room: Path, swtpm: SoftwareTpm) -> Iterator[Victim]:
    """A daemon that gives its TPM up soon."""
    running = Victim(room, swtpm.tcti, tpm_timeout_s=1.0)
    with running:
        yield running


@pytest.fixture
def proxy(room: Path, swtpm: SoftwareTpm) -> Iterator[TpmProxy]:
    with TpmProxy(room / "proxy.sock", room / "tpm" / "tpm.sock") as running:
        yield running


@pytest.fixture
def behind_proxy(room: Path, proxy: TpmProxy) -> Iterator[Victim]:
    """A daemon that reaches its TPM through ``proxy``."""
    running = Victim(room, proxy.tcti)
    with running:
        yield running
