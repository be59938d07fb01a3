"""Every refusal has a stored case, and every threat that must be refused is one of them."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.refusals.vectors import DIRECTORY
from tests.support.codes import closure, codes, reader_codes

DOCS = Path(__file__).parents[3] / "docs"
CASES = {case["name"]: case for case in json.loads((DIRECTORY / "index.json").read_text())}
STORED = {case["code"] for case in CASES.values()}
THREATS = [
    pytest.param(cases, id=f"{group}: {item}")
    for group, items in json.loads((DIRECTORY / "threats.json").read_text()).items()
    for item, cases in items.items()
]
TABLE = set(re.findall(r"^\| `([A-Z0-9_]+)` \|", (DOCS / "refusals.md").read_text(), re.MULTILINE))
ENROLLER = closure(["swt3_agent.verify.enrolment", "swt3_agent.verify.enrolment.reissue"])

NO_FILE = {
    "COUNTER_UNCOVERED": "tried in bundle/test_counter.py: a file would hold its own digest",
    "IMA_LOG_OVERSIZED": "beyond 256 MiB: tried without a file, in tests/unit/tcg/ima_log",
    "PCR_BANK": "another selection is refused before, as QUOTE_PCR_SELECTION",
    "PCR_INDEX": "a register that does not exist is refused before, with the file's form",
    "PCR_SIZE": "values of another size are refused before, with the file's form",
}
"""Codes of the table that no file of reasonable size brings about."""

NOT_THE_ENROLLER = {
    "ENROL_NO_ANCHOR": "a mistake in the command line",
    "ENROLLER_KEY": "of the enroller's own private key",
    "DUPLICATE_KEY": "becomes ENROL_FILE",
    "NOT_JSON": "becomes ENROL_FILE",
    "TOO_DEEP": "becomes ENROL_FILE",
    "TOO_LARGE": "becomes ENROL_FILE",
    "EARLIER_RECORD": "of bundles",
    "FRAME_CRC": "of bundles",
    "FRAME_FIELD": "of bundles",
    "FRAME_TORN": "of bundles",
    "MACHINE_ID": "of the node",
    "NV_PUBLIC_FIELD": "nothing in it is a yes or no",
    "PUBLIC_FIELD": "nothing in it is a yes or no",
    "SIGNATURE_FIELD": "nothing in it is a yes or no",
    **NO_FILE,
}
"""Codes in what the enroller imports with which no judged file ends, and why."""


@pytest.mark.parametrize("code", sorted(TABLE - set(NO_FILE)))
def test_every_code_of_the_table_has_a_case(code: str) -> None:
    assert code in STORED


@pytest.mark.parametrize(
    "code", sorted({*codes(ENROLLER), *reader_codes(ENROLLER)} - set(NOT_THE_ENROLLER))
)
def test_every_code_of_the_enroller_has_a_case(code: str) -> None:
    assert code in STORED


def test_what_has_a_case_is_not_excused() -> None:
    assert not STORED & set(NO_FILE)


def test_every_case_ends_in_a_code_that_is_documented() -> None:
    formats = (DOCS / "formats.md").read_text()
    families = set(re.findall(r"`([A-Z_]+_)\*`", formats))
    told = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", formats)) | TABLE
    assert not {
        code for code in STORED - told if not any(code.startswith(family) for family in families)
    }


@pytest.mark.parametrize("cases", THREATS)
def test_every_threat_is_refused_in_a_case(cases: list[str]) -> None:
    assert cases
    for pattern in cases:
        assert any(fnmatchcase(name, pattern) for name in CASES), pattern
