import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.tcg.signature import der_to_tpmt, tpmt_to_der
from tests.unit.tcg.vectors import SIGNATURE_DER, SIGNATURE_TPMT, result_or_code

SCALARS = st.integers(1, 2**256 - 1)


def test_both_forms_are_those_of_the_tpm_library() -> None:
    assert tpmt_to_der(SIGNATURE_TPMT) == SIGNATURE_DER
    assert der_to_tpmt(SIGNATURE_DER) == SIGNATURE_TPMT


@given(SCALARS, SCALARS)
def test_every_pair_of_integers_survives_both_ways(r: int, s: int) -> None:
    der = encode_dss_signature(r, s)
    assert tpmt_to_der(der_to_tpmt(der)) == der


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x00\x14" + SIGNATURE_TPMT[2:], "SIGNATURE_ALGORITHM"),
        (SIGNATURE_TPMT[:2] + b"\x00\x04" + SIGNATURE_TPMT[4:], "SIGNATURE_ALGORITHM"),
        (SIGNATURE_TPMT[:4] + b"\x00\x21" + SIGNATURE_TPMT[6:], "SIGNATURE_OVERSIZED"),
        (SIGNATURE_TPMT + b"\0", "SIGNATURE_TRAILING"),
        (SIGNATURE_TPMT[:-1], "SIGNATURE_TRUNCATED"),
        (SIGNATURE_TPMT[:38] + bytes(34), "SIGNATURE_TRAILING"),
        (SIGNATURE_TPMT[:38] + b"\x00\x20" + bytes(32), "SIGNATURE_RANGE"),
    ],
)
def test_a_tpm_signature_that_is_not_ecdsa_p256_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(FormatError) as caught:
        tpmt_to_der(data)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("der", "code"),
    [
        ("3006020100020101", "SIGNATURE_RANGE"),  # r = 0
        ("3006020181020101", "SIGNATURE_DER"),  # negative
        ("300702020001020101", "SIGNATURE_DER"),  # padded
        ("3006040101020101", "SIGNATURE_DER"),  # an octet string
        ("308106020101020101", "SIGNATURE_DER"),  # long form length
        ("30050200020101", "SIGNATURE_DER"),  # empty integer
        ("3009020101020101020101", "SIGNATURE_TRAILING"),
        ("3006020101020201", "SIGNATURE_TRUNCATED"),
        ("302702220101" + "00" * 32 + "020101", "SIGNATURE_RANGE"),
        ("3026022101" + "00" * 32 + "020101", "SIGNATURE_RANGE"),  # 2**256
        ("30" * 73, "SIGNATURE_OVERSIZED"),
    ],
)
def test_any_other_der_is_refused(der: str, code: str) -> None:
    with pytest.raises(FormatError) as caught:
        der_to_tpmt(bytes.fromhex(der))
    assert caught.value.code == code


@given(st.binary(max_size=80))
def test_any_bytes_are_a_signature_or_a_format_error(data: bytes) -> None:
    for read in (tpmt_to_der, der_to_tpmt):
        result = result_or_code(read, data)
        assert isinstance(result, bytes) or result.startswith("SIGNATURE_")


@given(st.integers(0, len(SIGNATURE_DER) - 1), st.integers(1, 255))
def test_no_two_der_encodings_mean_the_same_signature(offset: int, mask: int) -> None:
    changed = bytearray(SIGNATURE_DER)
    changed[offset] ^= mask
    assert result_or_code(der_to_tpmt, bytes(changed)) != SIGNATURE_TPMT
