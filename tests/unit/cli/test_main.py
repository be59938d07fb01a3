import json

import pytest

from swt3_agent.cli import VERBS, main


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb.name} " in shown for verb in VERBS)


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["--frobnicate"]])
def test_what_is_no_verb_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([verb, "--help"])
    assert exit_.value.code == 0
    assert f"swt3-agent {verb}" in capsys.readouterr().out


def test_version_has_its_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "swt3-agent/version/1"


def test_an_error_is_json_where_json_was_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWT3_CLEARING_LEVEL", "9")
    assert main(["status", "--json"]) == 78
    error = json.loads(capsys.readouterr().out)["error"]
    assert set(error) == {"code", "message", "remedy"}
    assert error["code"] == "CONFIG_VALUE"


def test_an_error_is_words_and_a_remedy_where_a_person_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWT3_CLEARING_LEVEL", "9")
    assert main(["status"]) == 78
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "SWT3_CLEARING_LEVEL" in shown.err
    assert "remedy" in shown.err
