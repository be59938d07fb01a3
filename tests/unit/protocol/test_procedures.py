"""Verdict rules: docs/protocol.md 8.1."""

import pytest

from swt3_agent.protocol.fingerprint import check_procedure
from swt3_agent.protocol.procedures import PROCEDURES, Verdict, judge

PASS, FAIL = Verdict.PASS, Verdict.FAIL


@pytest.mark.parametrize(
    ("procedure", "factors", "verdict"),
    [
        ("AI-INF.1", (1, 1, 0), PASS),
        ("AI-INF.1", (1, 0, 0), FAIL),
        ("AI-INF.2", (30000, 30000, 0), PASS),
        ("AI-INF.2", (5000, 8000, 1), FAIL),
        ("AI-INF.3", (10000, 9500, 0), PASS),
        ("AI-MDL.1", (1, 1, 0), PASS),
        ("AI-MDL.1", (1, 0, 1), FAIL),
        ("AI-MDL.2", (1, 0, 0), FAIL),
        ("AI-MDL.5", (1, 1, 0), PASS),
        ("AI-MDL.5", (1, 0, 0), FAIL),
        ("AI-MDL.6", (3, 1, 0), PASS),
        ("AI-MDL.6", (3, 0, 0), FAIL),
        ("AI-MDL.7", (1, 1, 5), PASS),
        ("AI-MDL.7", (1, 0, 5), FAIL),
        ("AI-HW.1", (8, 1, 1), PASS),
        ("AI-HW.1", (8, 0, 1), FAIL),
        ("AI-HW.1", (0, 1, 3), FAIL),
        ("AI-HW.3", (9, 1, 0), PASS),
        ("AI-HW.3", (0, 0, 0), FAIL),
        ("AI-GRD.1", (2, 3, 0), PASS),
        ("AI-GRD.1", (2, 1, 0), FAIL),
        ("AI-GRD.2", (1, 0, 1), FAIL),
        ("AI-GRD.3", (1, 1, 1), PASS),
        ("AI-GRD.3", (1, 1, 0), FAIL),
        ("AI-TOOL.1", (1, 0, 1), PASS),
        ("AI-TOOL.1", (1, 9, 0), FAIL),
        ("AI-ACC.1", (1, 1, 1), PASS),
        ("AI-ACC.1", (1, 1, 0), FAIL),
        ("AI-DRIFT.1", (5, 0, 1), PASS),
        ("AI-DRIFT.1", (5, 1, 1), FAIL),
        ("AI-REDTEAM.1", (10, 8, 0), PASS),
        ("AI-REDTEAM.1", (10, 7, 0), FAIL),
        ("AI-REDTEAM.1", (0, 0, 0), FAIL),
        ("AI-SBOM.1", (100, 3, 0), PASS),
        ("AI-SBOM.1", (100, 2, 0), FAIL),
        ("AI-SBOM.1", (0, 7, 0), FAIL),
        ("AI-MARK.1", (1, 0, 0), PASS),
        ("AI-MARK.1", (0, 1, 0), FAIL),
        ("AI-AUDIT.1", (100, 1, 0), PASS),
        ("AI-AUDIT.1", (100, 0, 0), FAIL),
        ("AI-DATA.1", (0, 0, 0), PASS),
        ("AI-DATA.1", (1, 0, 0), FAIL),
        ("AI-ID.1", (1, 1, 0), PASS),
        ("AI-BASE.1", (5, 0, 0), PASS),
        ("AI-BASE.1", (5, 0, 1), FAIL),
        ("AI-BASE.1", (5, 0, 2), FAIL),
        ("AI-BASE.1", (5, 1, 2), PASS),
        ("AI-BASE.1", (5, 0, 3), PASS),
        ("AI-CONSENT.1", (1, 0, 1), PASS),
        ("AI-CONSENT.1", (0, 0, 0), FAIL),
        ("AI-EXPL.1", (1, 0, 0), FAIL),
        ("AI-SAFE.1", (1, 1, 1), PASS),
        ("AI-SAFE.1", (1, 1, 0), FAIL),
        ("AI-ROBUST.1", (10, 9, 0), PASS),
        ("AI-ROBUST.1", (100, 89, 0), FAIL),
        ("AI-ROBUST.1", (0, 0, 0), FAIL),
        ("AI-CHAIN.1", (3, 1, 1), PASS),
        ("AI-CHAIN.1", (3, 1, 0), FAIL),
        ("AI-ENV.1", (42, 85, 1), PASS),
        ("AI-ENV.1", (90, 85, 0), FAIL),
        ("AI-ENV.2", (1200, 1200, 0), PASS),
        ("AI-ENV.2", (1200, 1200, 1), FAIL),
        ("AI-ENV.2", (1200, 0, 0), FAIL),
        ("AI-REV.1", (1, 1, 6), PASS),
        ("AI-LOG.1", (10, 9, 30), FAIL),
        ("AI-SAMPLE.1", (1000, 0, 0), PASS),
        ("AI-SHELL.1", (1, 1, 0), PASS),
        ("AI-SHELL.1", (1, 0, 2), FAIL),
    ],
)
def test_verdicts(procedure: str, factors: tuple[int, int, int], verdict: Verdict) -> None:
    assert judge(procedure, *factors) is verdict
    assert judge(procedure, *map(float, factors)) is verdict


@pytest.mark.parametrize("procedure", ["AI-HW.2", "AI-COST.1", "NHI-AGENT.1", "", "ai-inf.1"])
def test_what_no_public_rule_covers_is_not_judged(procedure: str) -> None:
    assert judge(procedure, 1, 1, 1) is None


def test_the_table_holds_well_formed_ids_with_meanings() -> None:
    for name, procedure in PROCEDURES.items():
        assert check_procedure(name) == procedure.id
        assert all(procedure.factors)
