"""Baselines: the record, and what is in force after each change."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import AgentError, FormatError, UsageError
from swt3_agent.protocol.baseline import (
    Accepted,
    Baseline,
    BaselineChange,
    Change,
    encode_baseline,
    parse_baseline,
)
from swt3_agent.protocol.reference import Reference

VECTOR = Path(__file__).parents[2] / "vectors" / "baseline.json"
ONE = Reference({0: ("ab" * 32,)}, {"secure-boot": ("enabled",)})
OTHER = Reference({0: ("cd" * 32,)})
BY = {"uid": 0, "gid": 0, "user": "root"}


def change(baseline: Baseline, reason: str = "as installed") -> BaselineChange:
    return BaselineChange("platform", Change.ACCEPTED, baseline, BY, reason, 3)


def test_a_record_says_what_is_in_force_and_what_is_staged() -> None:
    baseline = Baseline(Accepted(ONE, 3), Accepted(OTHER, expires_ms=99))
    read = parse_baseline(encode_baseline(change(baseline)), 12)
    assert read.baseline == Baseline(Accepted(ONE, 3), Accepted(OTHER, 12, 99))
    assert (read.subject, read.change, read.by, read.reason, read.evidence) == (
        "platform",
        Change.ACCEPTED,
        BY,
        "as installed",
        3,
    )


def test_the_payload_is_the_one_in_the_vectors() -> None:
    """Another implementation can read these, and gives the same bytes."""
    for case in json.loads(VECTOR.read_text()):
        payload = case["payload"].encode()
        read = parse_baseline(payload, case["seq"])
        now = read.baseline.at(case["now_ms"])
        assert [one.record for one in now] == case["accepted"]
        assert (
            encode_baseline(read)
            == json.dumps(case["again"], sort_keys=True, separators=(",", ":")).encode()
        )


def test_what_is_staged_stands_beside_what_is_in_force_until_its_time_is_over() -> None:
    baseline = Baseline(Accepted(ONE, 1)).stage(OTHER, 100)
    assert [one.reference for one in baseline.at(99)] == [ONE, OTHER]
    assert [one.reference for one in baseline.at(100)] == [ONE]
    assert baseline.confirm() == Baseline(Accepted(OTHER))
    assert baseline.unstage() == Baseline(Accepted(ONE, 1))
    assert baseline.accept(OTHER) == Baseline(Accepted(OTHER))
    assert baseline.retract() == Baseline()
    assert Baseline().at(0) == ()


def test_nothing_can_be_staged_confirmed_or_dropped_where_there_is_nothing() -> None:
    attempts: list[tuple[Callable[[], Baseline], str]] = [
        (lambda: Baseline().stage(ONE, 1), "NO_BASELINE"),
        (Baseline().retract, "NO_BASELINE"),
        (Baseline(Accepted(ONE)).confirm, "NOTHING_STAGED"),
        (Baseline(Accepted(ONE)).unstage, "NOTHING_STAGED"),
    ]
    for attempt, code in attempts:
        with pytest.raises(UsageError) as refused:
            attempt()
        assert refused.value.code == code


@pytest.mark.parametrize("reason", ["", " \t", "x" * 501, "two\nlines", "\x1b[2J"])
def test_a_reason_says_something_in_one_line(reason: str) -> None:
    with pytest.raises(UsageError) as refused:
        encode_baseline(change(Baseline(Accepted(ONE)), reason))
    assert refused.value.code == "BASELINE_REASON"


def test_values_without_bounds_are_refused() -> None:
    many = {f"value-{n}": (f"{n}" * 8000,) for n in range(10)}
    big = Reference(values={f"{name}-{n}": v for name, v in many.items() for n in range(60)})
    with pytest.raises(FormatError) as refused:
        encode_baseline(change(Baseline(Accepted(big))))
    assert refused.value.code == "BASELINE_OVERSIZED"


MALFORMED: list[Any] = [
    None,
    [],
    {},
    {"subject": "platform", "event": "burnt", "by": {}, "reason": ""},
    {"subject": 1, "event": "accepted", "by": {}, "reason": ""},
    {"subject": "platform", "event": "accepted", "by": {}, "reason": "", "in_force": []},
    {"subject": "p", "event": "accepted", "by": {}, "reason": "", "in_force": {"reference": {}}},
]


@pytest.mark.parametrize("payload", [b"", b"{", *(json.dumps(one).encode() for one in MALFORMED)])
def test_what_is_no_baseline_is_refused(payload: bytes) -> None:
    with pytest.raises(FormatError):
        parse_baseline(payload, 1)


@given(st.binary(max_size=300))
def test_no_bytes_lead_to_another_error(payload: bytes) -> None:
    with suppress(AgentError):
        parse_baseline(payload, 1)


def test_nesting_without_end_is_refused() -> None:
    head = b'{"subject":"p","event":"accepted","by":{},"reason":"","in_force":{"reference":{"a":'
    for payload in (b"[" * 100_000, head + b"[" * 100_000):
        with pytest.raises(FormatError):
            parse_baseline(payload, 1)
