import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.cli import main
from swt3_agent.config import profile_names
from swt3_agent.protocol.catalogue import CATALOGUE

KEY = "axm_live_SECRETMARKER"


@pytest.fixture(autouse=True)
def no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("SWT3_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agent.yaml"


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(list(arguments))
    return code, capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code, text = told(capsys, *arguments, "--json")
    return code, json.loads(text)


def test_a_good_configuration_is_said_to_be(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("tenant_id: ACME\nbuffer_size: 5\n")
    code, text = told(capsys, "config", "check", "--config", str(file))
    assert code == 0
    assert "clearing level 3, no ledger" in text
    assert "not used    buffer_size" in text
    assert text.endswith("agent.yaml: good\n")


def test_all_that_is_wrong_is_listed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("clearing_levle: 2\ntenant_id: 'a b'\nagent: {tpm: {log_pcr: 7}}\n")
    code, answer = as_json(capsys, "config", "check", "--config", str(file))
    assert code == 78
    assert answer["schema"] == "swt3-agent/config/1"
    assert answer["good"] is False
    assert {problem["key"] for problem in answer["problems"]} == {
        "clearing_levle",
        "tenant_id",
        "agent.tpm.log_pcr",
    }
    assert all(problem["remedy"] for problem in answer["problems"])


def test_what_a_profile_demands_is_listed_and_what_lacks_is_wrong(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("tenant_id: ACME\n")
    arguments = ("config", "check", "--config", str(file), "--profile", "defense-govcon")
    code, answer = as_json(capsys, *arguments)
    assert code == 78
    lacking = {problem["key"] for problem in answer["problems"]}
    assert lacking == {"signing_key", "agent_id", "jurisdiction"}
    assert answer["floors"]["min_clearing_level"] == 3
    code, text = told(capsys, *arguments)
    assert "3 things wrong" in text
    assert "demanded    require_signing: true" in text


def test_settings_are_shown_with_their_sources_and_without_secrets(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWT3_DSN", f"https://{KEY}@ledger.example.com/ACME")
    file.write_text("agent: {gpu: {expected: 8}}\n")
    code, text = told(capsys, "config", "show", "--sources", "--config", str(file))
    assert code == 0
    assert "SECRETMARKER" not in text
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert "****" in lines["api_key"]
    assert "(SWT3_DSN)" in lines["tenant_id"]
    assert f"({file})" in lines["agent.gpu.expected"]
    code, answer = as_json(capsys, "config", "show", "--config", str(file))
    assert {"key": "clearing_level", "value": 1} in answer["settings"]
    assert "SECRETMARKER" not in json.dumps(answer)


def test_profiles_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    _, answer = as_json(capsys, "profiles")
    assert [profile["name"] for profile in answer["profiles"]] == list(profile_names())
    _, text = told(capsys, "profiles")
    assert all(name in text for name in profile_names())
    _, one = as_json(capsys, "profiles", "show", "fintech-model-risk")
    assert one["clearing_level"] == 2
    assert "SR 26-2" in " ".join(one["notes"])
    code, text = told(capsys, "profiles", "show", "fintech-model-risk")
    assert code == 0
    assert "AI-PERF.1      Performance metrics, schedule (counted, not judged)" in text
    code, text = told(capsys, "profiles", "show", "minimal", "--yaml")
    assert text.startswith("# Development and evaluation")


def test_a_profile_that_is_not_there_is_bad_configuration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["profiles", "show", "defense"]) == 78
    assert "defense-govcon" in capsys.readouterr().err


def test_the_catalogue_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    _, answer = as_json(capsys, "procedures")
    assert [row["procedure_id"] for row in answer["procedures"]] == list(CATALOGUE)
    assert {row["judged"] for row in answer["procedures"]} == {True, False}
    _, text = told(capsys, "procedures")
    assert "AI-HW.3" in text


def test_a_configuration_to_begin_with_is_private_and_checked(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = told(
        capsys, "init", "--profile", "eu-ai-act-high-risk", "--tenant", "A", "--output", str(file)
    )
    assert code == 0
    assert "signing_key is missing" in text
    assert "config check" in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert "profile: eu-ai-act-high-risk" in file.read_text()


def test_it_never_overwrites_unless_told_to(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("tenant_id: MINE\n")
    assert main(["init", "--output", str(file)]) == 2
    assert "--force" in capsys.readouterr().err
    assert file.read_text() == "tenant_id: MINE\n"
    assert main(["init", "--air-gap", "--force", "--output", str(file)]) == 0
    assert "clearing_level: 3" in file.read_text()


def test_it_leaves_nothing_behind_where_it_refuses(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--profile", "nothing", "--output", str(file)]) == 78
    assert main(["init", "--tenant", "a:b", "--output", str(file)]) == 2
    assert not file.exists()
    assert capsys.readouterr().err


def test_json_may_stand_before_or_after_the_action(capsys: pytest.CaptureFixture[str]) -> None:
    before = told(capsys, "profiles", "--json", "show", "minimal")
    assert before == told(capsys, "profiles", "show", "minimal", "--json")
    assert json.loads(before[1])["name"] == "minimal"


def test_what_is_missing_is_told_to_programs_too(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("init", "--profile", "eu-ai-act-high-risk", "--output", str(file))
    _, answer = as_json(capsys, *arguments)
    assert answer["file"] == str(file)
    assert [problem["key"] for problem in answer["missing"]] == ["signing_key", "jurisdiction"]
    _, answer = as_json(capsys, "init", "--output", "-")
    assert "tenant_id" in answer["text"]


def test_it_can_be_read_before_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = told(capsys, "init", "--air-gap", "--output", "-")
    assert code == 0
    assert "swt3-agent export" in text
