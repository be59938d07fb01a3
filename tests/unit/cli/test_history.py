import argparse
import time
from typing import Any

import pytest

from swt3_agent.cli.history import history_lines, parse_since


@pytest.mark.parametrize(
    ("text", "utc_ms"),
    [
        ("2026-03-01", 1772323200000),
        ("2026-03-01T12:30", 1772368200000),
        ("2026-03-01 12:30:00", 1772368200000),
        ("2026-03-01T12:30:00Z", 1772368200000),
        ("2026-03-01T14:30:00+02:00", 1772368200000),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text: str, utc_ms: int) -> None:
    assert parse_since(text) == utc_ms


@pytest.mark.parametrize(("text", "seconds"), [("7d", 604_800), ("12h", 43_200), ("2w", 1_209_600)])
def test_a_duration_is_counted_back_from_now(text: str, seconds: int) -> None:
    before = time.time() - seconds
    assert before * 1000 - 1 <= parse_since(text) <= (time.time() - seconds) * 1000 + 1


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7y", "2026-13-01", "-7d", "9" * 30 + "d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_since(text)


def test_an_adapter_in_the_place_of_another_shows() -> None:
    lines = history_lines(answer(adapter("ab" * 32), adapter("cd" * 32), adapter("")))
    shown = [line.rpartition(", ")[2] for line in lines if ", adapter " in line]
    assert shown == [
        "adapter polite abababababababab…",
        "adapter polite cdcdcdcdcdcdcdcd…",
        "adapter polite unreadable",
    ]


def adapter(digest: str) -> dict[str, Any]:
    return {
        "digest": "12" * 32,
        "approved": True,
        "adapters": [{"name": "polite", "digest": digest}],
        "quantization": None,
        "problems": [],
    }


def answer(*states: dict[str, Any]) -> dict[str, Any]:
    """What the history of one model is told from that went through ``states``."""
    periods = [
        {
            "state": state,
            "first_ms": number,
            "until_ms": number + 1,
            "last_ms": number,
            "last_record": number,
            "readings": 1,
            "begins": True,
        }
        for number, state in enumerate(states)
    ]
    return {
        "subjects": [{"kind": "model", "name": "tiny", "periods": periods}],
        "together": [],
        "procedures": [],
        "events": [],
        "looked_at": {},
    }
