"""tests/vectors/ima.json, made apart from the code."""

import json
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.tcg.ima_log import (
    Hashing,
    boot_aggregate,
    check_boot_aggregates,
    parse_ima_log,
    reach,
    replay,
)

VECTOR: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "vectors" / "ima.json").read_text(encoding="utf-8")
)
LOG = bytes.fromhex(VECTOR["log"])


def test_the_entries_are_the_known_ones() -> None:
    found = list(parse_ima_log(LOG))
    assert [entry.path for entry in found] == VECTOR["paths"]
    assert [entry.end for entry in found] == [step["end"] for step in VECTOR["after"]]
    for entry in found:
        assert entry.violation or entry.digest("sha1") == entry.template_hash


@pytest.mark.parametrize(
    ("hashing", "member"), [(Hashing.SHA256, "sha256"), (Hashing.PADDED_SHA1, "padded_sha1")]
)
def test_every_entry_leads_to_the_known_register(hashing: Hashing, member: str) -> None:
    for count, step in enumerate(VECTOR["after"], start=1):
        reached = reach(parse_ima_log(LOG), bytes.fromhex(step[member]))
        assert reached is not None
        assert (reached.entries, reached.offset, reached.hashing) == (count, step["end"], hashing)


def test_the_boot_aggregate_is_the_known_one() -> None:
    pcrs = {int(index): bytes.fromhex(value) for index, value in VECTOR["boot_pcrs"].items()}
    replayed = replay(parse_ima_log(LOG))
    assert boot_aggregate(pcrs).hex() == VECTOR["boot_aggregate"]
    assert check_boot_aggregates(replayed.aggregates, pcrs) == 1
    assert replayed.violations == VECTOR["violations"]
