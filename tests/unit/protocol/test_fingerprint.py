"""Fingerprints: docs/protocol.md 1 and 3.1."""

import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.fingerprint import (
    MAX_SAFE_INTEGER,
    Rendering,
    check_procedure,
    check_tenant,
    content_hash,
    ecmascript_number,
    fingerprint_digest,
    is_relayable_tenant,
    match_fingerprint,
    mint_fingerprint,
    python_number,
)
from tests.unit.protocol import published_sdk

VECTORS_DIR = Path(__file__).parents[2] / "vectors"
VECTORS = json.loads((VECTORS_DIR / "fingerprints.json").read_text())
NUMBERS = json.loads((VECTORS_DIR / "numbers.json").read_text())["numbers"]
CONTENT_HASHES = json.loads((VECTORS_DIR / "content_hashes.json").read_text())
SDK = published_sdk.load("fingerprint")

TS = 1774800000000
BEYOND_A_DOUBLE = 10**400
mintable = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
doubles = st.floats(allow_nan=False, allow_infinity=False)
factors = mintable | doubles


def match(a: Any = 1, b: Any = 1, c: Any = 0, ts: Any = TS, claimed: str = "0" * 12) -> Any:
    return match_fingerprint("LOCAL", "AI-INF.1", a, b, c, ts, claimed)


def inputs(vector: dict[str, Any]) -> tuple[str, str, Any, Any, Any, int]:
    a, b, c = vector["factors"]
    return vector["tenant"], vector["procedure"], a, b, c, vector["timestamp_ms"]


@pytest.mark.parametrize("vector", VECTORS["canonical"])
def test_published_vectors_match(vector: dict[str, Any]) -> None:
    assert match_fingerprint(*inputs(vector), vector["fingerprint"]) is Rendering.PYTHON


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS["canonical"] if all(type(f) is int for f in v["factors"])]
)
def test_published_vectors_of_integers_are_minted(vector: dict[str, Any]) -> None:
    assert mint_fingerprint(*inputs(vector)) == vector["fingerprint"]
    assert fingerprint_digest(*inputs(vector))[:12] == vector["fingerprint"]
    assert len(fingerprint_digest(*inputs(vector))) == 64


@pytest.mark.parametrize("case", VECTORS["renderings"]["cases"])
def test_both_renderings_of_a_factor_are_accepted_and_told_apart(case: dict[str, str]) -> None:
    fixed = VECTORS["renderings"]

    def rendering_of(claimed: str) -> Rendering | None:
        return match_fingerprint(
            fixed["tenant"],
            fixed["procedure"],
            fixed["factor_a"],
            fixed["factor_b"],
            json.loads(case["factor_c"]),
            fixed["timestamp_ms"],
            claimed,
        )

    alike = case["python"] == case["ecmascript"]
    assert rendering_of(case["python"]) is Rendering.PYTHON
    expected = Rendering.PYTHON if alike else Rendering.ECMASCRIPT
    assert rendering_of(case["ecmascript"]) is expected


@pytest.mark.parametrize("vector", VECTORS["legacy"])
def test_legacy_formula_is_recognised_and_named(vector: dict[str, Any]) -> None:
    assert match_fingerprint(*inputs(vector), vector["fingerprint"]) is Rendering.LEGACY


def test_relayed_tenant_is_hashed_as_utf8_without_normalisation() -> None:
    vector = VECTORS["relayed_tenant"]
    assert match_fingerprint(*inputs(vector), vector["fingerprint"]) is Rendering.PYTHON
    decomposed = vector | {"tenant": vector["tenant"].replace("Ü", "U\u0308")}
    assert match_fingerprint(*inputs(decomposed), vector["fingerprint"]) is None


def test_wrong_fingerprint_matches_nothing() -> None:
    vector = VECTORS["matches_nothing"]
    assert match_fingerprint(*inputs(vector), vector["fingerprint"]) is None
    assert match(claimed="") is None
    assert match(claimed=mint_fingerprint("LOCAL", "AI-INF.1", 1, 1, 0, TS).upper()) is None


@given(mintable, mintable, mintable, st.integers(0, MAX_SAFE_INTEGER))
def test_what_is_minted_matches_and_agrees_with_the_published_sdk(
    a: int, b: int, c: int, ts: int
) -> None:
    minted = mint_fingerprint("LOCAL", "AI-INF.1", a, b, c, ts)
    assert minted == SDK.mint_fingerprint("LOCAL", "AI-INF.1", a, b, c, ts)
    assert match(a, b, c, ts, minted) is Rendering.PYTHON


@given(factors, factors, factors)
def test_every_fingerprint_of_the_published_sdk_matches(a: float, b: float, c: float) -> None:
    claimed = SDK.mint_fingerprint("LOCAL", "AI-INF.1", a, b, c, TS)
    assert match(a, b, c, TS, claimed) is Rendering.PYTHON


@given(factors, factors, factors)
def test_every_fingerprint_of_an_ecmascript_producer_matches(a: float, b: float, c: float) -> None:
    numbers = ":".join(rfc8785.dumps(float(factor)).decode() for factor in (a, b, c))
    claimed = content_hash(f"WITNESS:LOCAL:AI-INF.1:{numbers}:{TS}")[:12]
    assert match(a, b, c, TS, claimed) in (Rendering.PYTHON, Rendering.ECMASCRIPT)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number["text"])
def test_numbers_are_rendered_as_the_table_says(number: dict[str, str]) -> None:
    value = json.loads(number["text"])
    assert python_number(value) == number["python"]
    assert ecmascript_number(value) == number["ecmascript"]


@given(doubles)
def test_ecmascript_rendering_agrees_with_rfc8785(value: float) -> None:
    assert ecmascript_number(value) == rfc8785.dumps(value).decode()


@given(st.integers(-(2**1023), 2**1023))
def test_integers_are_rounded_to_a_double_for_ecmascript_only(value: int) -> None:
    assert float(ecmascript_number(value)) == float(value)
    assert python_number(value) == str(value)


NOT_FACTORS = {
    "true": True,
    "false": False,
    "nan": float("nan"),
    "infinity": float("inf"),
    "beyond a double": BEYOND_A_DOUBLE,
    "too long to print": -(10**5000),
    "text": "1",
    "null": None,
}


@pytest.mark.parametrize("what", NOT_FACTORS)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_what_is_no_number_has_no_fingerprint(what: str, position: int) -> None:
    factor = NOT_FACTORS[what]
    factors: list[Any] = [1, 1, 0]
    factors[position] = factor
    a, b, c = factors
    with pytest.raises(FormatError) as error:
        match(a, b, c)
    assert error.value.code == "BAD_FIELD"
    with pytest.raises(FormatError, match=f"factor_{'abc'[position]}"):
        mint_fingerprint("LOCAL", "AI-INF.1", a, b, c, TS)


@pytest.mark.parametrize("factor", [1.0, 0.5, MAX_SAFE_INTEGER + 1, -MAX_SAFE_INTEGER - 1])
def test_only_integers_that_all_languages_render_alike_are_minted(factor: Any) -> None:
    with pytest.raises(FormatError, match="factor_b"):
        mint_fingerprint("LOCAL", "AI-INF.1", 1, factor, 0, TS)


@pytest.mark.parametrize("ts", [1.0, True, -1, "1", None, MAX_SAFE_INTEGER + 1])
def test_timestamp_must_be_whole_milliseconds(ts: Any) -> None:
    with pytest.raises(FormatError, match="fingerprint_timestamp_ms"):
        match(ts=ts)
    with pytest.raises(FormatError, match="fingerprint_timestamp_ms"):
        mint_fingerprint("LOCAL", "AI-INF.1", 1, 1, 0, ts)


@pytest.mark.parametrize("tenant", ["LOCAL", "a", "A-b_9", "x" * 64])
def test_minting_tenants(tenant: str) -> None:
    assert check_tenant(tenant) == tenant
    assert is_relayable_tenant(tenant)


@pytest.mark.parametrize("tenant", ["", "a:b", "a b", "a.b", "ü", "x" * 65, "LOCAL\n", "\ud800"])
def test_tenants_that_are_not_minted(tenant: str) -> None:
    with pytest.raises(FormatError, match="tenant"):
        check_tenant(tenant)
    with pytest.raises(FormatError, match="tenant"):
        mint_fingerprint(tenant, "AI-INF.1", 1, 1, 0, TS)


@pytest.mark.parametrize("tenant", ["", "a:b", "a\n", "\x00", "\x7f", "\x85", "\ud800"])
def test_tenants_that_would_be_ambiguous_are_not_relayed(tenant: str) -> None:
    assert not is_relayable_tenant(tenant)
    with pytest.raises(FormatError, match="tenant"):
        match_fingerprint(tenant, "AI-INF.1", 1, 1, 0, TS, "0" * 12)


@pytest.mark.parametrize(
    "procedure", ["AI-INF.1", "NHI-AGENT.1", "HBOM-INV.1", "SC-7.6", "HCF-DX.1", "AI-INF", "A-A"]
)
def test_procedures(procedure: str) -> None:
    assert check_procedure(procedure) == procedure


@pytest.mark.parametrize(
    "procedure",
    ["", "AI", "AI-", "ai-INF.1", "AI-INF.1\n", "AI-INF.1:1", "AI-INF.1234", "9A-B", "AI-INF.١"],
)
def test_malformed_procedures_are_refused(procedure: str) -> None:
    with pytest.raises(FormatError, match="procedure_id"):
        check_procedure(procedure)
    with pytest.raises(FormatError, match="procedure_id"):
        match_fingerprint("LOCAL", procedure, 1, 1, 0, TS, "0" * 12)


@pytest.mark.parametrize("vector", CONTENT_HASHES["hashes"])
def test_content_hashes(vector: dict[str, str]) -> None:
    assert content_hash(vector["text"]) == vector["hash"]


def test_the_wrong_published_content_hash_is_not_reproduced() -> None:
    wrong = CONTENT_HASHES["wrong"]
    assert content_hash(wrong["text"]) != wrong["hash"]


def test_text_without_utf8_form_has_no_content_hash() -> None:
    with pytest.raises(FormatError, match="surrogate"):
        content_hash("a\ud800")
