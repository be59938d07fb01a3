"""What the demo refuses before it starts anything, and which TPM it takes."""

import json
from pathlib import Path

import pytest

from swt3_agent.cli import main
from swt3_agent.cli.demo.stage import demo_tpm, machine_tpm_lack


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (["--model", "/nonexistent"], 2, "NO_SUCH_MODEL"),
        (["--directory", "/tmp/" + "x" * 120], 2, "DIRECTORY_TOO_LONG"),
        (["--directory", "/proc/xx"], 1, "OUTPUT_UNWRITABLE"),
        (["--directory", "/etc/passwd"], 1, "OUTPUT_UNWRITABLE"),
        (["--directory", "/etc"], 2, "DIRECTORY_NOT_EMPTY"),
        (["--anchors", "0"], 2, "BAD_COUNT"),
    ],
)
def test_what_cannot_work_is_refused_before_it_starts(
    arguments: list[str], exit_code: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", *arguments, "--json"]) == exit_code
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_a_temporary_directory_with_too_long_a_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * 100)))
    assert main(["demo", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "DIRECTORY_TOO_LONG"


@pytest.mark.parametrize("tcti", ["none", "swtpm:path=/somewhere/tpm.sock"])
def test_the_tpm_of_the_environment_is_taken(tmp_path: Path, tcti: str) -> None:
    with demo_tpm(tmp_path / "tpm", {"SWT3_TPM_TCTI": tcti}) as tpm:
        assert tpm.tcti == tcti
        assert tcti in tpm.why
    assert list(tmp_path.iterdir()) == []


def test_a_device_of_the_environment_is_taken_where_no_agent_lives(tmp_path: Path) -> None:
    device = tmp_path / "tpmrm9"
    device.touch()
    environ = {"SWT3_TPM_TCTI": f"device:{device}", "SWT3_STATE_DIR": str(tmp_path / "state")}
    with demo_tpm(tmp_path / "tpm", environ) as tpm:
        assert tpm.tcti == f"device:{device}"


def test_a_tpm_whose_log_an_agent_keeps_is_left_alone(tmp_path: Path) -> None:
    device = tmp_path / "tpmrm9"
    assert str(device) in str(machine_tpm_lack(device, tmp_path / "state"))
    device.touch()
    assert machine_tpm_lack(device, tmp_path / "state") is None
    (tmp_path / "state").mkdir()
    assert "must not extend" in str(machine_tpm_lack(device, tmp_path / "state"))
