import socket
from pathlib import Path

import pytest

from swt3_agent.errors import TpmError
from swt3_agent.tpm.reach import check_reachable, has_resource_manager, is_simulator


@pytest.mark.parametrize(
    ("tcti", "simulator", "managed"),
    [
        ("device:/dev/tpmrm0", False, True),
        ("device:/dev/tpmrm1", False, True),
        ("device", False, True),
        ("device:/dev/tpm0", False, False),
        ("tabrmd:bus_type=session", False, True),
        ("swtpm:path=/run/tpm.sock", True, False),
        ("swtpm:host=localhost,port=2321", True, False),
        ("mssim", True, False),
    ],
)
def test_what_a_tcti_says_of_its_tpm(tcti: str, simulator: bool, managed: bool) -> None:
    assert is_simulator(tcti) is simulator
    assert has_resource_manager(tcti) is managed


def lack(tcti: str) -> str:
    with pytest.raises(TpmError) as caught:
        check_reachable(tcti)
    assert caught.value.remedy
    return caught.value.code


def test_a_missing_device_is_absent(tmp_path: Path) -> None:
    assert lack(f"device:{tmp_path}/tpmrm0") == "TPM_ABSENT"
    assert lack(f"swtpm:path={tmp_path}/tpm.sock") == "TPM_ABSENT"


def test_the_remedy_fits_the_tpm_that_was_named(tmp_path: Path) -> None:
    for tcti, remedy in (("device:", "firmware setup"), ("swtpm:path=", "start the software TPM")):
        with pytest.raises(TpmError) as caught:
            check_reachable(f"{tcti}{tmp_path}/tpm")
        assert remedy in caught.value.remedy


def test_a_socket_that_nobody_serves_is_absent(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/s.ctrl")
    assert lack(f"swtpm:path={tmp_path}/s") == "TPM_ABSENT"


def test_something_else_in_its_place_has_failed(tmp_path: Path) -> None:
    (tmp_path / "tpm0").write_bytes(b"precious")
    assert lack(f"device:{tmp_path}") == "TPM_FAILED"
    assert lack(f"device:{tmp_path}/tpm0") == "TPM_FAILED"


def test_what_can_be_opened_or_is_unknown_passes(tmp_path: Path) -> None:
    check_reachable("device:/dev/null")
    check_reachable("tabrmd")


@pytest.mark.permissions
def test_a_device_that_grants_nothing_is_denied(tmp_path: Path) -> None:
    (tmp_path / "tpmrm0").touch(mode=0)
    assert lack(f"device:{tmp_path}/tpmrm0") == "TPM_DENIED"
