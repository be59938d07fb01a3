"""`boot-log FILE`: needs neither agent nor TPM."""

import json
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.cli import main
from tests.support.boot_logs import (
    BOOT_LOGS,
    IPL,
    REAL_LOGS,
    event,
    header,
    ima_entry,
    ima_ng,
    real_log,
)

LOG = BOOT_LOGS / "rhel8-uefi.bin"
PCRS = BOOT_LOGS / "rhel8-uefi.pcrs.json"


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["boot-log", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def answered(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(printed(capsys, *arguments, "--json"))
    assert answer["schema"] == "swt3-agent/boot-log/1"
    return answer


@pytest.mark.parametrize("name", REAL_LOGS)
def test_a_log_is_shown_without_anybody_who_vouches_for_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, BOOT_LOGS / f"{name}.bin")
    assert "nothing vouches for what follows" in text
    assert "as quoted" not in text


def test_a_log_is_held_against_registers(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, LOG, "--pcrs", PCRS)
    assert text.count("  as quoted") == 11
    assert "\n    secure-boot             enabled\n" in text
    answer = answered(capsys, LOG, "--pcrs", PCRS)
    assert answer["matched"] == [*range(10), 14]
    assert answer["replayed"]["sha1"]["8"] == "15aab2077008f8325e7c61ee39fedd7118aad5d7"
    assert answer["events"][3]["what"] == "variable SecureBoot = 01"
    assert answer["events"][3]["covered"] == "data"


def test_a_register_that_the_log_does_not_lead_to_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registers = json.loads(PCRS.read_text())
    registers["sha256"]["7"] = "00" * 32
    registers["sha256"]["13"] = "11" * 32
    del registers["sha256"]["2"]
    (tmp_path / "pcrs.json").write_text(json.dumps(registers))
    text = printed(capsys, LOG, "--pcrs", tmp_path / "pcrs.json")
    assert f"NOT AS QUOTED: {'00' * 32}" in text
    assert "extended by others: the log has no event" in text
    assert "not quoted" in text
    assert "secure-boot " not in text


def test_a_truncated_log_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_bytes(real_log("rhel8-uefi")[:-1])
    assert "cut off: " in printed(capsys, tmp_path / "log")
    assert answered(capsys, tmp_path / "log")["truncated"]


def test_what_a_log_says_cannot_move_the_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = event(8, IPL, b"grub_cmd: \x1b[2J\nPCR 7\0", hashed=b"\x1b[2J\nPCR 7")
    (tmp_path / "log").write_bytes(header() + evil)
    text = printed(capsys, tmp_path / "log")
    assert "\x1b" not in text
    assert "\nPCR 7" not in text


@pytest.mark.parametrize("name", ["ima-log-sha1", "ima-log-sha256", "ima-log-unknown"])
def test_an_ima_log_in_ascii_is_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "2 entries" in printed(capsys, "--ima", BOOT_LOGS / name)


def test_the_newest_entries_of_an_ima_log_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [ima_entry(ima_ng(f"/bin/{number}", bytes(32))) for number in range(50)]
    (tmp_path / "log").write_bytes(b"".join(entries))
    answer = answered(capsys, "--ima", tmp_path / "log", "--last", 2)
    assert [entry["path"] for entry in answer["newest"]] == ["/bin/48", "/bin/49"]
    assert (answer["entries"], answer["fault"]) == (50, None)
    (tmp_path / "log").write_bytes(b"".join(entries)[:-1])
    cut = answered(capsys, "--ima", tmp_path / "log")
    assert cut["fault"]["code"] == "IMA_LOG_TRUNCATED"
    assert cut["newest"][-1]["path"] == "/bin/48"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([BOOT_LOGS / "bogus.bin"], "EVENT_LOG_HEADER"),
        ([BOOT_LOGS / "absent"], "FILE_UNREADABLE"),
        ([LOG, "--pcrs", LOG], "NOT_JSON"),
        ([LOG, "--pcrs", BOOT_LOGS / "debian-10.pcrs.json"], "BAD_PCRS"),
        (["--pcrs", PCRS], "USAGE"),
        (["--ima", LOG], "IMA_LOG_ENTRY"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    arguments: list[object], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["boot-log", *map(str, arguments)]) != 0
    assert f"[{code}]" in capsys.readouterr().err
