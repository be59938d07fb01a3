from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from swt3_agent.config import Config, load_config
from swt3_agent.daemon.doctor.counter import check_counter

DENIED = {"code": "TPM_DENIED", "detail": "the owner forbids it", "remedy": "ask him", "since": 1}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config({"SWT3_STATE_DIR": str(tmp_path / "state")})


def found(config: Config, shown: dict[str, Any] | None) -> list[tuple[str, str]]:
    return [(f.level.value, f.code) for f in check_counter(config, shown)]


def every(config: Config, seconds: float) -> Config:
    return replace(config, intervals=msgspec.structs.replace(config.intervals, counter=seconds))


def test_a_counter_that_is_stepped_is_good(config: Config) -> None:
    (finding,) = check_counter(config, {"value": 42, "error": None})
    assert (finding.level.value, finding.detail) == ("OK", "at 42, 35,040 steps a year")


def test_what_hinders_it_is_said(config: Config) -> None:
    assert found(config, {"value": None, "error": DENIED}) == [("FAIL", "TPM_DENIED")]


def test_an_interval_that_wears_the_tpm_out_is_said_also_where_no_daemon_runs(
    config: Config,
) -> None:
    assert found(every(config, 60), None) == [("WARN", "COUNTER_WEAR")]
    assert found(every(config, 60), {"value": 1, "error": DENIED}) == [
        ("FAIL", "TPM_DENIED"),
        ("WARN", "COUNTER_WEAR"),
    ]


def test_without_daemon_or_tpm_there_is_nothing_to_say(config: Config) -> None:
    assert found(config, None) == []
    no_tpm = replace(config, tpm=msgspec.structs.replace(config.tpm, tcti="none"))
    assert found(every(no_tpm, 60), None) == []


def test_who_keeps_none_is_told_what_that_means(config: Config) -> None:
    none = replace(config, tpm=msgspec.structs.replace(config.tpm, counter="none"))
    assert found(none, None) == [("WARN", "COUNTER_NONE")]
