"""The helper that reads the kernel's logs: there, away, or with nothing to read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from swt3_agent.daemon.doctor.finding import Level
from swt3_agent.daemon.doctor.probe import check_probe
from swt3_agent.probe.wire import Log
from tests.support.probe import serve_probe, write_log
from tests.support.software_tpm import short_directory


@pytest.fixture
def room() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory


def test_both_logs_are_asked_for(room: Path) -> None:
    write_log(room, Log.BOOT, b"log")
    with serve_probe(room / "socket", room):
        boot, ima = check_probe(room / "socket")
    assert boot.level is Level.OK
    assert "3 bytes" in boot.detail
    assert (ima.level, ima.code) == (Level.WARN, "LOG_ABSENT")
    assert "IMA log" in ima.detail
    assert ima.remedy


@pytest.mark.parametrize("path", [None, Path("/no/such/socket")])
def test_without_a_probe_the_agent_works_with_less(path: Path | None) -> None:
    found = list(check_probe(path))
    assert {(finding.level, finding.code) for finding in found} == {(Level.WARN, "PROBE_ABSENT")}
    assert all(finding.remedy for finding in found)
