import re
from pathlib import Path

import pytest

from swt3_agent.protocol.catalogue import CATALOGUE, is_judged
from swt3_agent.protocol.fingerprint import check_procedure
from swt3_agent.protocol.procedures import PROCEDURES, judge

GUIDE = (
    "AI-INF.1",
    "AI-MDL.1",
    "AI-MDL.6",
    "AI-MDL.7",
    "AI-HW.1",
    "AI-HW.3",
    "AI-GRD.1",
    "AI-TOOL.1",
    "AI-ACC.1",
    "AI-DRIFT.1",
    "AI-REDTEAM.1",
    "AI-SBOM.1",
    "AI-MARK.1",
    "AI-AUDIT.1",
    "AI-DATA.1",
)
"""Those of the published guide for AI factories, section 6."""
DOCUMENT = Path(__file__).parents[3] / "docs" / "protocol.md"


@pytest.mark.parametrize("procedure", GUIDE)
def test_the_guides_procedures_are_all_there_and_judged(procedure: str) -> None:
    assert procedure in CATALOGUE
    assert is_judged(procedure)


def test_every_rule_has_an_entry() -> None:
    assert set(PROCEDURES) <= set(CATALOGUE)


@pytest.mark.parametrize("procedure", sorted(CATALOGUE))
def test_an_entry_says_what_it_is(procedure: str) -> None:
    entry = CATALOGUE[procedure]
    assert entry.id == check_procedure(procedure) == procedure
    assert entry.title
    assert entry.witnesses
    assert entry.regulation


@pytest.mark.parametrize("procedure", sorted(set(CATALOGUE) - set(PROCEDURES)))
def test_what_has_no_rule_is_never_judged(procedure: str) -> None:
    assert judge(procedure, 1, 1, 0) is None


def test_what_does_not_exist_is_not_in_it() -> None:
    assert "AI-HW.2" not in CATALOGUE


def test_the_document_has_the_same_catalogue() -> None:
    section = DOCUMENT.read_text().split("### 8.5")[1].split("\n## ")[0]
    rows = re.findall(
        r"^\| ([A-Z]+-[A-Z]+\.\d+) \| (.*) \| (.*) \| (.*) \| (\w+) \|$", section, re.MULTILINE
    )
    expected = [
        (entry.id, entry.title, entry.witnesses, entry.regulation, entry.trigger.value)
        for entry in CATALOGUE.values()
    ]
    assert rows == expected
