"""docs/formats.md names every code that a verifier gives, and the kinds of record."""

from pathlib import Path

import pytest

from swt3_agent.protocol.record import Kind
from tests.support.codes import closure
from tests.support.codes import codes as collected

ROOT = Path(__file__).parents[3]
FORMATS = (ROOT / "docs" / "formats.md").read_text()
PACKAGE = ROOT / "swt3_agent"
SOURCES = [
    *sorted((PACKAGE / "verify").rglob("*.py")),
    *(
        PACKAGE / "protocol" / f"{name}.py"
        for name in ("trust", "proof", "bundle", "receipts", "gaps", "ustar", "enrolment")
    ),
    PACKAGE / "daemon" / "receipts.py",
]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def codes() -> set[str]:
    names = {module_name(path) for path in SOURCES}
    found = collected(closure(names))
    return {code for code, modules in found.items() if modules & names}


def test_the_codes_are_found_in_the_sources() -> None:
    assert {"LEAF_MISMATCH", "SIGNER_UNANCHORED", "FLOOR_CLOCK", "PARSE_FIELD"} <= codes()


@pytest.mark.parametrize("code", sorted(codes()))
def test_every_code_is_documented(code: str) -> None:
    parts = code.split("_")
    families = ["_".join(parts[:count]) + "_*" for count in range(1, len(parts))]
    assert any(f"`{name}`" in FORMATS for name in (code, *families))


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.label)
def test_every_kind_is_documented(kind: Kind) -> None:
    assert f"| {kind.label} | {kind.value} |" in FORMATS
