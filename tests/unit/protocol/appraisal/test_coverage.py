from typing import Any

from swt3_agent.protocol.appraisal import Outcome
from swt3_agent.protocol.appraisal.coverage import appraise_coverage
from swt3_agent.protocol.evidence import Evidence, Lack, RootOfTrust, Unavailable


def reading(*states: str, **claims: Any) -> Evidence:
    procedures = [
        {"procedure_id": f"AI-X.{number}", "state": state} for number, state in enumerate(states)
    ]
    counted = {
        "due": sum(state != "awaited" for state in states),
        "fresh": states.count("fresh"),
        "days": 7,
        "settled": True,
        "profile": "nist-ai-rmf",
    }
    return Evidence(
        "coverage", RootOfTrust.SELF_REPORTED, {"procedures": procedures, **counted, **claims}
    )


def test_all_that_is_due_and_fresh_passes() -> None:
    appraisal = appraise_coverage(reading("fresh", "awaited", "fresh"))
    assert (appraisal.outcome, appraisal.factors) == (Outcome.PASS, (2, 2, 7))
    assert appraisal.procedure_id == "AI-LOG.1"
    assert appraisal.reasons == ()


def test_what_is_stale_or_missing_fails_by_name() -> None:
    appraisal = appraise_coverage(reading("fresh", "stale", "missing"))
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (3, 1, 7))
    assert [reason.code for reason in appraisal.reasons] == ["COVERAGE_STALE", "COVERAGE_MISSING"]
    assert appraisal.context["lacking"] == ["AI-X.1", "AI-X.2"]


def test_a_node_that_has_just_started_mints_nothing() -> None:
    appraisal = appraise_coverage(reading("missing", settled=False))
    assert (appraisal.outcome, appraisal.factors) == (Outcome.RECORDED, None)


def test_a_coverage_that_could_not_be_read_fails() -> None:
    lack = Unavailable("coverage", Lack.FAILED, "COLLECTOR_FAILED", "no log", "look")
    appraisal = appraise_coverage(lack)
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (1, 0, 0))


def test_claims_of_another_shape_do_not_pass() -> None:
    claims = {"settled": True, "due": "3", "fresh": 3, "procedures": "x"}
    appraisal = appraise_coverage(Evidence("coverage", RootOfTrust.SELF_REPORTED, claims))
    assert appraisal.factors is not None
    assert appraisal.factors[0] == 0
