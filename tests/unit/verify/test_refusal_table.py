"""docs/refusals.md has every code with which a verifier can end, and no other."""

import re
from pathlib import Path

import pytest

from swt3_agent.verify import references, remembering
from swt3_agent.verify.course import UNREADABLE
from swt3_agent.verify.refusal import refusal
from tests.support.codes import closure, codes, doubts, reader_codes

ROOT = Path(__file__).parents[3]
FORMATS = (ROOT / "docs" / "formats.md").read_text()
ROW = re.compile(r"\| `([A-Z0-9_]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")
TABLE = {
    code: (outcome, what, remedy)
    for code, outcome, what, remedy in ROW.findall((ROOT / "docs" / "refusals.md").read_text())
}

ENTRIES = [
    f"swt3_agent.verify.{name}"
    for name in ("verifier", "bundle.judge", "challenge", "dsse", "remembering")
]
MODULES = closure(ENTRIES)

MADE_OF_PARTS = {
    *(f"AK_NOT_{word}" for word in ("RESTRICTED", "SIGN", "FIXED_TPM", "FIXED_PARENT")),
    "AK_NOT_DATA_ORIGIN",
    "PARSE_DUPLICATE_KEY",  # handed on from strict_json
    "RESETS_UNACCOUNTED",
}
"""Codes that no call names in one piece."""

NO_ENDING = {
    "BOOT_PCRS_CHANGED": "decides nothing",
    "BOOT_WITHOUT_HEAD": "decides nothing",
    "CLOCK_STEP": "decides nothing",
    "COUNTER_CRASH": "decides nothing",
    "COUNTER_OPEN": "decides nothing",
    "DUPLICATE_KEY": "handed on under the prefix of the format",
    "NOT_JSON": "handed on under the prefix of the format",
    "TOO_DEEP": "handed on under the prefix of the format",
    "TOO_LARGE": "handed on under the prefix of the format",
    "FRAME_CRC": "becomes BUNDLE_ENTRY or EARLIER_RECORD",
    "FRAME_FIELD": "becomes BUNDLE_ENTRY or EARLIER_RECORD",
    "FRAME_TORN": "becomes BUNDLE_ENTRY or EARLIER_RECORD",
    "IMA_LOG_BOOT_AGGREGATE": "no verifier asks for the aggregate",
    "IMA_LOG_PCRS": "no verifier asks for the aggregate",
    "IMA_LOG_TEMPLATE": "of the log as text, which is in no bundle",
    "MACHINE_ID": "of the node",
    "MEASURED_BOOT": "of the node's own appraisal",
    "PCR_NOT_COMPARED": "of the node's own appraisal",
    "STATEMENT_PROCEDURE": "of the node",
    "NV_PUBLIC_FIELD": "nothing in it is a yes or no",
    "PUBLIC_FIELD": "nothing in it is a yes or no",
    "SIGNATURE_FIELD": "nothing in it is a yes or no",
    "PUBLIC_RSA_EXPONENT": "of RSA keys, which sign nothing here",
    "PUBLIC_RSA_SIZE": "of RSA keys, which sign nothing here",
}
"""What the collection finds, and no verifier ends with; and why."""

COLLECTED = {*codes(MODULES), *reader_codes(MODULES), *MADE_OF_PARTS}


def test_the_table_has_every_code_and_no_other() -> None:
    assert set(TABLE) == COLLECTED - set(NO_ENDING)


def test_what_is_left_out_is_still_there_to_be_left_out() -> None:
    assert set(NO_ENDING) - {"STATEMENT_PROCEDURE"} <= COLLECTED
    assert not MADE_OF_PARTS & {*codes(MODULES), *reader_codes(MODULES)}


def test_the_table_tells_a_doubt_from_a_failure() -> None:
    doubtful = {
        *doubts(MODULES),
        *UNREADABLE,
        *remembering._DOUBTS,
        *references._LACKING,
        "RESETS_UNACCOUNTED",  # no call names it in one piece
    }
    assert {
        code for code, (outcome, _, _) in TABLE.items() if "undecided, 4" in outcome
    } == doubtful
    assert {outcome for outcome, _, _ in TABLE.values()} == {
        "false, 3",
        "undecided, 4",
        "false, 3; undecided, 4",
    }


@pytest.mark.parametrize("code", sorted(TABLE))
def test_each_row_says_what_to_do_as_a_verifier_does(code: str) -> None:
    _, what, remedy = TABLE[code]
    told = refusal(code, "").remedy
    assert len(what) > 8
    assert len(remedy) > 8
    assert remedy == told[0].upper() + told[1:]


@pytest.mark.parametrize("code", sorted(TABLE))
def test_the_formats_say_where_each_belongs(code: str) -> None:
    parts = code.split("_")
    families = ["_".join(parts[:count]) + "_*" for count in range(1, len(parts))]
    assert any(f"`{name}`" in FORMATS for name in (code, *families))
