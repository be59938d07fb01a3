"""``verify --records``: every record of a bundle, with the times between which it came."""

import json
from pathlib import Path

import pytest

from swt3_agent.cli import main

BUNDLES = Path(__file__).parents[2] / "vectors" / "bundle-2"
VERIFIED, USAGE, FALSE = 0, 2, 3


def verify(file: Path, *arguments: str) -> int:
    trust = str(BUNDLES / "enroller.trust")
    return main(["verify", str(file), "--trust", trust, "--allow-software-tpm", *arguments])


def test_each_record_is_told_with_its_times(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(BUNDLES / "first.tar", "--records", "--json") == VERIFIED
    *lines, report = map(json.loads, capsys.readouterr().out.splitlines())
    bundle = report["bundle"]
    assert [line["seq"] for line in lines] == list(range(bundle["first"], bundle["end"]))
    assert {line["schema"] for line in lines} == {"swt3-agent/verify-record/1"}
    assert "withheld" in {line["kind"] for line in lines}
    relayed = [line for line in lines if line["kind"] == "relayed"]
    assert {line["procedure_id"] for line in relayed} == {"AI-INF.1"}
    assert lines[0]["not_before_ms"] is None
    for line in lines[-3:]:
        assert 0 <= line["not_after_ms"] - line["not_before_ms"] < 60_000
        assert not line["contradicted"]


def test_records_stand_before_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(BUNDLES / "second.tar", "--records") == VERIFIED
    lines = capsys.readouterr().out.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("VERIFIED"))
    assert " ".join(lines[0].split()) == "seq kind procedure verdict, not before, not after"
    assert all(line.split()[0].isdigit() for line in lines[1:first])
    assert any("counter-cert" in line for line in lines[1:first])


def test_nothing_is_told_of_a_false_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bundle.tar"
    file.write_bytes((BUNDLES / "first.tar").read_bytes()[:-1] + b"x")
    assert verify(file, "--records", "--json") == FALSE
    (report,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert report["outcome"] == "false"


def test_records_are_those_of_a_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(BUNDLES / "enroller.trust", "--records") == USAGE
    assert "NOT_A_BUNDLE" in capsys.readouterr().err
