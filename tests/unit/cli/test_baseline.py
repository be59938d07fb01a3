"""What the verb reads and prints; what it does is shown on a node (tests/integration/daemon)."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.cli import main
from swt3_agent.cli.baseline import MAX_FILE, add_arguments, baseline_lines

ACCEPTED: dict[str, Any] = {
    "record": 12,
    "time_ms": 1_785_000_000_000,
    "by": {"uid": 1001, "gid": 100, "user": None},
    "reason": "as installed",
    "expires_ms": None,
    "expired": False,
    "pcrs": [0, 7],
    "values": ["command-line"],
    "unjudged": [],
}


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


def test_registers_names_and_days_are_read_as_they_are_written() -> None:
    args = parsed("accept", "--reason", "x", "--pcrs", "7,0,7", "--except", "1,boot-files")
    assert (args.pcrs, args.without) == ([0, 7], ["1", "boot-files"])
    assert parsed("accept", "--reason", "x", "--pending", "--days", "3").days == 3
    assert parsed("accept", "--reason", "x").pcrs is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["accept"],
        ["confirm"],
        ["retract"],
        ["accept", "--reason", "x", "--pcrs", ""],
        ["accept", "--reason", "x", "--pcrs", "0-7"],
        ["accept", "--reason", "x", "--except", "Boot Files"],
        ["accept", "--reason", "x", "--days", "0"],
        ["accept", "--reason", "x", "--days", "1000"],
        ["accept", "--reason", "x", "--file", "reference.json", "--pcrs", "3"],
    ],
)
def test_what_cannot_be_meant_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["baseline", *arguments]) == 2
    assert "USAGE" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"x" * (MAX_FILE + 1), b"\xff\xfe"])
def test_a_file_that_is_none_is_refused_before_it_is_sent(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "reference.json"
    file.write_bytes(content)
    assert main(["baseline", "accept", "--reason", "x", "--file", str(file)]) == 2
    assert "BASELINE_FILE" in capsys.readouterr().err


def test_what_is_in_force_is_shown_with_what_it_judges() -> None:
    who = "by a user without a name (uid 1001) at 2026-07-25 17:20:00 UTC: as installed"
    staged = {**ACCEPTED, "record": 30, "expires_ms": 1_786_000_000_000, "unjudged": [9]}
    assert baseline_lines({"in_force": ACCEPTED, "staged": staged}) == [
        f"baseline    record 12, {who}",
        "            PCRs as they were: 0, 7",
        "            from the boot log: command-line",
        f"pending     record 30, until 2026-08-06 07:06:40 UTC, {who}",
        "            PCRs as they were: 0, 7",
        "            from the boot log: command-line",
        "            NOT judged, or not wholly: PCR 9",
    ]
