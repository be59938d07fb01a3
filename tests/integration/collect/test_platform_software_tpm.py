"""The whole way with a TPM that answers: swtpm, its owner, and the collector that verifies."""

from pathlib import Path
from typing import Any

import pytest

from swt3_agent.collect.platform import PlatformCollector
from swt3_agent.protocol.appraisal import Outcome, appraise_platform
from swt3_agent.protocol.baseline import Accepted
from swt3_agent.protocol.boot_state import boot_state
from swt3_agent.protocol.evidence import Evidence, Lack, RootOfTrust, Unavailable
from swt3_agent.tpm.client import Tpm
from swt3_agent.tpm.software import start_software_tpm
from tests.support.software_tpm import short_directory

QUOTED = (*range(10), 13, 14)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    directory = tmp_path / "keys"
    directory.mkdir(mode=0o700)
    return directory


def test_a_software_tpm_is_quoted_verified_and_called_software(keys: Path) -> None:
    with short_directory() as directory, start_software_tpm(directory / "tpm") as software:
        tpm = Tpm(software.tcti, keys, quoted_pcrs=QUOTED)
        try:
            reading = PlatformCollector(tpm).collect()
        finally:
            tpm.close()
    assert isinstance(reading, Evidence), reading
    assert reading.root_of_trust is RootOfTrust.SOFTWARE_TPM
    claims: Any = reading.claims
    assert claims["quote"]["verified"] is True
    assert sorted(map(int, claims["quote"]["pcrs"])) == sorted(QUOTED)
    appraisal = appraise_platform(reading)
    assert (appraisal.outcome, appraisal.factors) == (Outcome.NOT_COMPARED, None)
    accepted = (Accepted(boot_state(reading).reference(), 7),)
    appraisal = appraise_platform(reading, accepted)
    assert (appraisal.outcome, appraisal.factors) == (Outcome.PASS, (12, 1, 3))


def test_a_tpm_that_is_not_there_is_absent(keys: Path, tmp_path: Path) -> None:
    tpm = Tpm(f"device:{tmp_path / 'tpmrm0'}", keys, quoted_pcrs=QUOTED)
    try:
        reading = PlatformCollector(tpm).collect()
    finally:
        tpm.close()
    assert isinstance(reading, Unavailable)
    assert (reading.lack, reading.code) == (Lack.ABSENT, "TPM_ABSENT")
    assert appraise_platform(reading).factors == (0, 0, 0)
