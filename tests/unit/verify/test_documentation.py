"""docs/formats.md names every code that a verifier gives, and the kinds of record."""

import re
from pathlib import Path

import pytest

from swt3_agent.protocol.record import Kind

ROOT = Path(__file__).parents[3]
FORMATS = (ROOT / "docs" / "formats.md").read_text()
SOURCES = [
    *sorted((ROOT / "swt3_agent" / "verify").rglob("*.py")),
    *(
        ROOT / "swt3_agent" / "protocol" / f"{name}.py"
        for name in ("trust", "proof", "bundle", "receipts", "gaps", "ustar", "enrolment")
    ),
    ROOT / "swt3_agent" / "daemon" / "receipts.py",
]
CODE = re.compile(
    r'(Error|refusal|_refused|_mismatch|doubt|parse_error|Irregularity)\(\s*"([A-Z_]+)"'
)


def codes() -> set[str]:
    found = {match.groups() for path in SOURCES for match in CODE.finditer(path.read_text())}
    return {f"PARSE_{code}" if call == "parse_error" else code for call, code in found}


def test_the_codes_are_found_in_the_sources() -> None:
    assert {"LEAF_MISMATCH", "SIGNER_UNANCHORED", "FLOOR_CLOCK", "PARSE_FIELD"} <= codes()


@pytest.mark.parametrize("code", sorted(codes()))
def test_every_code_is_documented(code: str) -> None:
    family = code.split("_")[0] + "_*"
    assert f"`{code}`" in FORMATS or f"`{family}`" in FORMATS


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.label)
def test_every_kind_is_documented(kind: Kind) -> None:
    assert f"| {kind.label} | {kind.value} |" in FORMATS
