"""Times in what a verifier says: for people, whatever number a stranger wrote."""

import re
from pathlib import Path

import pytest

from swt3_agent import verify
from swt3_agent.verify.moments import utc_text


def test_a_time_is_told_as_a_date() -> None:
    assert utc_text(1795411710712) == "2026-11-23 05:28:30 UTC"
    assert utc_text(None) == "unknown"


@pytest.mark.parametrize("number", [2**64, -(2**64), 10**18])
def test_a_number_that_is_no_date_is_told_as_it_is(number: int) -> None:
    assert utc_text(number) == f"{number} ms"


def test_no_report_counts_milliseconds_since_1970() -> None:
    for path in Path(verify.__file__).parent.rglob("*.py"):
        assert not re.search(r"\} ms UTC", path.read_text(encoding="utf-8")), path
