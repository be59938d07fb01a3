"""The head before the record: docs/formats.md, "Proof", version 2."""

from dataclasses import replace
from typing import Any

import pytest

from swt3_agent.protocol.proof import PreviousHead, encode_proof
from swt3_agent.verify import Outcome, Report, verify_proof
from tests.support.forge import OTHER_AK, UTC_MS, WITNESS_SEQ, PaperNode, Quote, trust_file

NODE = PaperNode()


def judge(previous: PreviousHead | None) -> Report:
    proof = replace(NODE.proof(WITNESS_SEQ), previous=previous)
    return verify_proof(
        encode_proof(proof), trust=trust_file(), allow_software_tpm=True, now_ms=UTC_MS
    )


def interval(report: Report) -> Any:
    return report.to_json()["interval"]


@pytest.mark.parametrize("size", range(1, WITNESS_SEQ + 1))
def test_a_record_came_between_two_heads(size: int) -> None:
    report = judge(NODE.head_before(size))
    assert (report.code, report.checks[8].name) == ("VERIFIED", "previous")
    assert interval(report) == {
        "not_before_ms": UTC_MS - 500,
        "not_after_ms": UTC_MS,
        "tpm_elapsed_ms": 500,
        "clock_step_ms": 0,
    }
    assert "recorded    after 2026-" in report.render()
    assert any("only the record came into the log after it" in each for each in report.not_proven)


def test_without_an_earlier_head_only_the_end_is_known() -> None:
    report = judge(None)
    assert interval(report)["not_before_ms"] is None
    assert "recorded    before 2026-" in report.render()


@pytest.mark.parametrize(
    ("previous", "code"),
    [
        (NODE.head_before(WITNESS_SEQ + 1), "PREVIOUS_RANGE"),
        (replace(NODE.head_before(3), consistency=()), "PREVIOUS_CONSISTENCY"),
        (NODE.head_before(3, records=NODE.records[1:4]), "PREVIOUS_CONSISTENCY"),
        (NODE.head_before(3, log_id="ef" * 8), "IDENTITY"),
        (NODE.head_before(3, log_pcr=11), "PREVIOUS_LOG_PCR"),
        (NODE.head_before(3, extends=False), "LOG_PCR_REPLAY"),
        (NODE.head_before(3, quote=Quote(clock_ms=5_000_001)), "PREVIOUS_CLOCK"),
        (NODE.head_before(3, quote=Quote(resets=8)), "PREVIOUS_CLOCK"),
        (NODE.head_before(3, quote=Quote(extra=b"a challenge")), "QUOTE_CHALLENGE"),
        (NODE.head_before(3, key=OTHER_AK), "NOTE_KEY_ID"),
        (
            replace(
                NODE.head_before(3), note=replace(NODE, records=NODE.records[:3]).note().body()
            ),
            "PREVIOUS_UNSIGNED",
        ),
    ],
)
def test_an_earlier_head_that_is_none_is_refused(previous: PreviousHead, code: str) -> None:
    report = judge(previous)
    assert (report.code, report.outcome) == (code, Outcome.FALSE)
    assert report.remedy


def test_across_a_reset_the_tpm_s_clock_measures_nothing() -> None:
    earlier = NODE.head_before(3, quote=Quote(resets=6, clock_ms=5_100_000))
    assert interval(judge(earlier))["tpm_elapsed_ms"] is None


def test_a_clock_that_was_set_between_the_heads_is_said() -> None:
    forward = judge(NODE.head_before(3, utc_ms=UTC_MS - 600_500))
    assert interval(forward)["clock_step_ms"] == 600_000
    assert any("set by 600000 ms" in each for each in forward.not_proven)
    back = judge(NODE.head_before(3, utc_ms=UTC_MS + 600_500))
    assert (back.outcome, interval(back)["not_before_ms"]) == (Outcome.VERIFIED, None)
    assert any("set by -601000 ms" in each for each in back.not_proven)


def test_an_earlier_head_of_an_unsigned_proof_is_refused() -> None:
    proof = replace(NODE.unsigned_proof(4), previous=NODE.head_before(3))
    assert verify_proof(encode_proof(proof)).code == "PREVIOUS_UNSIGNED"
