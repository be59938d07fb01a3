"""What operational fields may say at level 3: docs/protocol.md 6.2."""

import re
from pathlib import Path

import pytest

from swt3_agent.errors import FormatError
from swt3_agent.protocol.clearing import OPERATIONAL_FIELDS
from swt3_agent.protocol.operational import PATTERNS, refuse_free_text

_NUMBERS = {"signing_key_version", "authorization_expires"}
_DOCUMENT = Path(__file__).parents[3] / "docs" / "protocol.md"


def test_every_operational_field_has_a_rule() -> None:
    texts = {name.partition(".")[0] for name in PATTERNS}
    assert texts | _NUMBERS == set(OPERATIONAL_FIELDS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("agent_id", "spiffe://prod.example/ns/ml/sa/router"),
        ("agent_id", ""),
        ("cycle_id", "2026-Q3/17"),
        ("jurisdiction", "EU,US-CA"),
        ("legal_basis", "legitimate_interest"),
        ("purpose_class", "clinical_decision_support"),
        ("authorization_scope", "read:orders,write:orders"),
        ("authorization_expires", 1_785_000_000_000),
        ("payload_signature", "ab" * 3309),
        ("revocation_reason", 3),
        ("revocation_reason", "model_recall"),
        ("references", ["c059eb5938c0", {"fingerprint": "c059eb5938c0", "relationship": None}]),
        ("references", [{"fingerprint": "c059eb5938c0", "provenance_token": "SWT3-E-ONPREM-AI"}]),
        ("lifecycle_chain_id", "LC-7a38936db8ecec94"),
        ("witness_source", None),
    ],
)
def test_identifiers_pass(name: str, value: object) -> None:
    refuse_free_text({name: value})


_PROSE = "The patient said"


@pytest.mark.parametrize("name", sorted(set(OPERATIONAL_FIELDS) - {"references"}))
def test_prose_is_refused_by_the_name_of_its_field_alone(name: str) -> None:
    with pytest.raises(FormatError) as raised:
        refuse_free_text({name: _PROSE})
    assert name in raised.value.message
    assert _PROSE not in raised.value.message + raised.value.remedy


@pytest.mark.parametrize(
    "value",
    [
        [_PROSE],
        [{"fingerprint": _PROSE}],
        [{"fingerprint": "c059eb5938c0", "relationship": _PROSE}],
        [{"fingerprint": "c059eb5938c0", "note": "x"}],
        [{"fingerprint": "c059eb5938c0", _PROSE: "x"}],
        ["c059eb5938c0"] * 65,
        "c059eb5938c0",
        [["c059eb5938c0"]],
    ],
)
def test_references_hold_no_text_either(value: object) -> None:
    with pytest.raises(FormatError) as raised:
        refuse_free_text({"references": value})
    assert _PROSE not in raised.value.message


@pytest.mark.parametrize("value", ["a\nb", "a b", "é", "a" * 129, "-a", True, 2**53, 1.5, {}])
def test_what_is_no_identifier_is_refused(value: object) -> None:
    with pytest.raises(FormatError):
        refuse_free_text({"agent_id": value})


def test_the_documented_patterns_are_those_of_the_code() -> None:
    """docs/protocol.md 6.2 gives each pattern as it is."""
    section = _DOCUMENT.read_text().split("### 6.2 ")[1].split("### 6.3 ")[0]
    documented: dict[str, str] = {}
    for line in section.splitlines():
        cells = re.findall(r"`([^`]+)`", line)
        if line.startswith("| `"):
            documented |= dict.fromkeys(cells[:-1], cells[-1])
    assert documented == dict(PATTERNS)
