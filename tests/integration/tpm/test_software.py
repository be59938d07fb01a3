import os
import signal
from pathlib import Path

import pytest

from swt3_agent.errors import TpmError
from swt3_agent.tpm import software
from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm


def code_of(directory: Path) -> str:
    with pytest.raises(TpmError) as caught:
        start_software_tpm(directory)
    assert caught.value.remedy
    return caught.value.code


def test_stop_ends_and_reaps_the_process_and_twice_is_once(swtpm: SoftwareTpm) -> None:
    swtpm.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(swtpm.pid, 0)
    swtpm.stop()


def test_a_hanging_tpm_is_stopped_too(swtpm: SoftwareTpm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "STOP_TIMEOUT_S", 0.2)
    os.kill(swtpm.pid, signal.SIGSTOP)
    swtpm.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(swtpm.pid, 0)


def test_a_second_one_in_the_same_directory_is_refused(swtpm: SoftwareTpm, room: Path) -> None:
    assert code_of(room / "tpm") == "TPM_BUSY"


def test_a_path_too_long_for_a_socket_is_refused_by_name(room: Path) -> None:
    assert code_of(room / ("d" * 100)) == "TPM_FAILED"
    assert not (room / ("d" * 100)).exists()


def test_a_missing_swtpm_is_named_with_its_package(
    room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(room))
    with pytest.raises(TpmError, match="no swtpm") as caught:
        start_software_tpm(room / "tpm")
    assert caught.value.code == "TPM_ABSENT"
    assert "apt install swtpm" in caught.value.remedy


def test_damaged_state_is_an_error_with_the_last_words_of_swtpm(room: Path) -> None:
    (room / "tpm").mkdir()
    (room / "tpm" / "tpm2-00.permall").write_bytes(b"not the state of a TPM")
    assert code_of(room / "tpm") == "TPM_FAILED"
