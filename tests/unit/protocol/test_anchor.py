"""Anchor tokens: docs/protocol.md 2."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.anchor import mint_token, parse_token
from swt3_agent.protocol.procedures import PROCEDURES, Verdict

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "tokens.json").read_text())
FINGERPRINT = "c059eb5938c0"


@pytest.mark.parametrize("vector", VECTORS["minted"], ids=lambda v: v["procedure"])
def test_known_tokens_are_minted(vector: dict[str, Any]) -> None:
    token = mint_token(
        vector["procedure"], Verdict(vector["verdict"]), vector["epoch"], vector["fingerprint"]
    )
    assert token == vector["token"]


@pytest.mark.parametrize("vector", VECTORS["parsed"], ids=lambda v: v["token"])
def test_known_tokens_are_read(vector: dict[str, Any]) -> None:
    token = parse_token(vector["token"])
    parts = {key: value for key, value in vector.items() if key not in ("token", "about")}
    assert asdict(token) == parts
    assert token.names(vector["about"])
    assert not token.names("AI-OTHER.9")


@pytest.mark.parametrize("text", VECTORS["refused"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(FormatError) as error:
        parse_token(text)
    assert error.value.code == "BAD_TOKEN"


@given(
    st.sampled_from(sorted(PROCEDURES)),
    st.sampled_from(Verdict),
    st.integers(0, 10**13 - 1),
    st.text("0123456789abcdef", min_size=12, max_size=12),
    st.text("ABCXYZ019", min_size=1, max_size=8),
)
def test_minted_tokens_read_back(
    procedure: str, verdict: Verdict, epoch: int, fingerprint: str, provider: str
) -> None:
    token = parse_token(mint_token(procedure, verdict, epoch, fingerprint, provider=provider))
    assert token.well_formed
    assert token.names(procedure)
    assert (token.provider, token.verdict, token.epoch, token.fingerprint) == (
        provider,
        verdict.value,
        epoch,
        fingerprint,
    )


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_token(text)


def test_a_token_of_hostile_length_is_refused() -> None:
    with pytest.raises(FormatError):
        parse_token("SWT3-E-" + "A-" * 100_000 + f"AIINF1-PASS-1-{FINGERPRINT}")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"procedure": "SC-7.6"}, "procedure"),
        ({"procedure": "nonsense"}, "procedure"),
        ({"epoch": -1}, "epoch"),
        ({"epoch": 1.5}, "epoch"),
        ({"fingerprint": "C059EB5938C0"}, "fingerprint"),
        ({"tier": "X"}, "tier"),
        ({"provider": "ON-PREM"}, "provider"),
    ],
)
def test_parts_that_could_not_be_read_back_are_not_minted(
    change: dict[str, Any], named: str
) -> None:
    parts: dict[str, Any] = {
        "procedure": "AI-INF.1",
        "verdict": Verdict.PASS,
        "epoch": 1,
        "fingerprint": FINGERPRINT,
    }
    with pytest.raises(FormatError, match=named):
        mint_token(**(parts | change))
