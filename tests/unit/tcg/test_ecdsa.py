import dataclasses

import pytest

from swt3_agent.errors import FormatError
from swt3_agent.tcg.curves import P384
from swt3_agent.tcg.ecdsa import has_signed
from swt3_agent.tcg.public import parse_public
from tests.unit.tcg.vectors import AK_TPMT, QUOTE, SIGNATURE_DER

AK = parse_public(AK_TPMT)


def test_a_tpm_s_signature_holds_for_its_message_alone() -> None:
    assert has_signed(AK, QUOTE, SIGNATURE_DER)
    assert not has_signed(AK, QUOTE + b"\0", SIGNATURE_DER)


def test_what_is_no_signature_is_not_taken_for_a_wrong_one() -> None:
    with pytest.raises(FormatError) as caught:
        has_signed(AK, QUOTE, SIGNATURE_DER + b"\0")
    assert caught.value.code.startswith("SIGNATURE_")


def test_a_key_on_another_curve_is_refused_by_name() -> None:
    with pytest.raises(FormatError) as caught:
        has_signed(dataclasses.replace(AK, curve=P384), QUOTE, SIGNATURE_DER)
    assert caught.value.code == "AK_CURVE"
