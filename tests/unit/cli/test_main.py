import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

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
    assert main(arguments) == 2
    assert "usage: swt3-agent" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json"],
        ["frobnicate", "--json"],
        ["--json", "status"],
        ["prove", "--json"],
        ["log", "--since", "abc", "--json"],
        ["log", "--since", "-1", "--json"],
        ["verify", "x", "y", "--json"],
        ["quote", "--json"],
        ["demo", "--anchors", "many", "--json"],
        ["status", "--js", "--json"],
    ],
)
def test_a_usage_error_is_json_where_json_was_asked_for(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    error = json.loads(shown.out)["error"]
    assert error["code"] == "USAGE"
    assert error["message"]
    assert error["remedy"].startswith("usage: swt3-agent")
    assert shown.err == ""


def test_a_sequence_number_that_is_none_is_named_in_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["log", "--since", "abc"]) == 2
    assert "argument --since: 'abc' is not a sequence number" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([verb, "--help"])
    assert exit_.value.code == 0
    assert f"swt3-agent {verb}" in capsys.readouterr().out


def test_version_has_its_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "swt3-agent/version/1"


def test_the_option_is_the_verb_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == main(["version"]) == 0
    option, verb = capsys.readouterr().out.splitlines()
    assert option == verb


def test_every_verb_knows_json(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        with pytest.raises(SystemExit):
            main([verb.name, "--help"])
        assert "--json" in capsys.readouterr().out, verb


@pytest.mark.parametrize("arguments", [["version"], ["version", "--json"]])
def test_an_output_that_takes_nothing_is_an_error_in_words(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "swt3_agent", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("swt3-agent: No space left on device\n  remedy: ")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("command", "exit_code"),
    [("version >&-", 0), ("version --json 2>&-", 0), ("nonsense 2>&-", 2), ("--json >&-", 2)],
)
def test_a_stream_that_the_caller_closed_changes_nothing(command: str, exit_code: int) -> None:
    shell = f"exec {shlex.quote(sys.executable)} -m swt3_agent {command}"
    done = subprocess.run(
        ["sh", "-c", shell], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == exit_code
    assert "Traceback" not in done.stderr


def test_a_reader_that_went_away_makes_nothing_good(tmp_path: Path) -> None:
    damaged = tmp_path / "proof.json"
    damaged.write_text("{")
    assert exit_code_without_a_reader("-m", "swt3_agent", "verify", str(damaged)) == 3
    assert exit_code_without_a_reader("-m", "swt3_agent", "version") == 0, (
        "done, though nobody read it"
    )


def test_a_verb_whose_output_was_cut_short_does_not_pass_for_done() -> None:
    assert exit_code_without_a_reader("-u", "-m", "swt3_agent", "procedures") == 141


def exit_code_without_a_reader(*arguments: str) -> int:
    """What Python ends with when nobody reads its standard output any more."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            stdout=writer,
            env=buffered,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert done.stderr == b""
    return done.returncode


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


def test_verbs_that_only_look_start_without_what_delivery_and_http_need() -> None:
    """Operators and probes run them often; httpx and uvicorn would double their start."""
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, swt3_agent.cli.status, swt3_agent.cli.config; print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"httpx", "uvicorn", "starlette", "rich", "numpy"} & set(found.stdout.split())
