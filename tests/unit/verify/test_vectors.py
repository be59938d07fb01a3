"""Stored proofs: a proof of format 1 is judged alike for ever."""

import json
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.verify import verify_proof

DIRECTORY = Path(__file__).parents[2] / "vectors" / "proof-1"
CASES = json.loads((DIRECTORY / "cases.json").read_text())["cases"]
TRUST = (DIRECTORY / "enroller.trust").read_bytes()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_stored_proofs_are_judged_as_they_were(case: dict[str, Any]) -> None:
    data = (DIRECTORY / case["file"]).read_bytes()
    if "replace" in case:
        old, new = (text.encode() for text in case["replace"])
        assert data.count(old) == 1
        data = data.replace(old, new)
    trust = TRUST if case["trust"] else None
    report = verify_proof(data, trust=trust, allow_software_tpm=True)
    assert (report.code, report.exit_code) == (case["code"], case["exit_code"])
