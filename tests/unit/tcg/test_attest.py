import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.tcg.attest import Attest, AttestType, parse_attest
from swt3_agent.tcg.pcr import composite_digest, sha256_selection
from tests.unit.tcg.vectors import (
    CERTIFICATION,
    KEYS,
    NV_CERTIFICATE,
    PCRS,
    QUOTE,
    QUOTED,
    VECTORS,
    result_or_code,
)

SELECT_COUNT = QUOTE.index(bytes.fromhex("00000001000b03"))


WHOLE = pytest.mark.parametrize(
    "whole", [QUOTE, NV_CERTIFICATE, CERTIFICATION], ids=["quote", "nv", "certify"]
)


def code_of(data: bytes) -> str:
    with pytest.raises(FormatError) as caught:
        parse_attest(data)
    assert caught.value.remedy
    return caught.value.code


def patched(data: bytes, offset: int, value: str) -> bytes:
    replacement = bytes.fromhex(value)
    return data[:offset] + replacement + data[offset + len(replacement) :]


def test_reads_a_quote_as_the_tpm_made_it() -> None:
    attest = parse_attest(QUOTE)
    assert attest.type is AttestType.QUOTE
    assert attest.extra_data.hex() == VECTORS["quote"]["extra"]
    assert attest.qualified_signer.hex() == VECTORS["ak"]["qualified_name"]
    assert (attest.clock_ms, attest.reset_count, attest.restart_count) == (0x279, 2, 0)
    assert attest.safe
    assert attest.firmware == 0x2019102300163636
    assert attest.nv is None
    assert attest.quote is not None
    assert attest.quote.selection == sha256_selection(QUOTED)
    assert attest.quote.digest == composite_digest(PCRS, attest.quote.selection)


def test_a_quote_of_an_empty_bank_shows_an_empty_selection() -> None:
    quote = parse_attest(bytes.fromhex(VECTORS["empty"]["attest"])).quote
    assert quote is not None
    assert quote.selection == ()


def test_reads_an_nv_certificate_as_the_tpm_made_it() -> None:
    attest = parse_attest(NV_CERTIFICATE)
    assert attest.type is AttestType.NV
    assert attest.quote is None
    assert attest.nv is not None
    assert attest.nv.name.hex() == VECTORS["nv"]["name"]
    assert (attest.nv.offset, attest.nv.contents) == (0, (1).to_bytes(8, "big"))


def test_reads_the_certification_of_a_key_as_the_tpm_made_it() -> None:
    attest = parse_attest(CERTIFICATION)
    assert attest.type is AttestType.CERTIFY
    assert (attest.quote, attest.nv) == (None, None)
    assert attest.certify is not None
    assert attest.certify.name.hex() == KEYS["succession"]["new_name"]
    assert attest.certify.qualified_name[:2] == b"\x00\x0b"
    assert len(attest.certify.qualified_name) == 34


def test_a_structure_that_no_tpm_generated_is_refused() -> None:
    assert code_of(b"\xffTCF" + QUOTE[4:]) == "ATTEST_MAGIC"


def test_another_kind_of_attestation_is_refused() -> None:
    assert code_of(bytes.fromhex(VECTORS["time"]["attest"])) == "ATTEST_TYPE"


@WHOLE
def test_every_truncation_is_refused(whole: bytes) -> None:
    assert {code_of(whole[:size]) for size in range(len(whole))} == {"ATTEST_TRUNCATED"}


@WHOLE
def test_bytes_after_the_structure_are_refused(whole: bytes) -> None:
    assert code_of(whole + b"\0") == "ATTEST_TRAILING"


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (6, "0043"),  # qualifiedSigner
        (42, "0043"),  # extraData
        (SELECT_COUNT, "00000011"),
        (SELECT_COUNT + 6, "05"),  # sizeofSelect
        (SELECT_COUNT + 10, "0041"),  # pcrDigest
    ],
)
def test_a_field_longer_than_the_tpm_allows_is_refused(offset: int, value: str) -> None:
    assert code_of(patched(QUOTE, offset, value)) == "ATTEST_OVERSIZED"


def test_a_bitmap_longer_than_the_tpm_allows_is_refused() -> None:
    bitmap = SELECT_COUNT + 7
    longer = QUOTE[:bitmap] + QUOTE[bitmap : bitmap + 3] + bytes(2) + QUOTE[bitmap + 3 :]
    assert code_of(patched(longer, SELECT_COUNT + 6, "05")) == "ATTEST_OVERSIZED"


def test_a_megabyte_is_refused_by_its_length() -> None:
    assert code_of(QUOTE + bytes(1 << 20)) == "ATTEST_OVERSIZED"


def test_safe_is_yes_or_no_and_nothing_else() -> None:
    assert code_of(patched(QUOTE, SELECT_COUNT - 9, "02")) == "ATTEST_FIELD"


@given(st.binary(max_size=256) | st.binary(max_size=200).map(lambda tail: QUOTE[:10] + tail))
def test_any_bytes_are_an_attestation_or_a_format_error(data: bytes) -> None:
    result = result_or_code(parse_attest, data)
    assert isinstance(result, Attest) or result.startswith("ATTEST_")


@given(st.integers(0, len(QUOTE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_what_is_read(offset: int, mask: int) -> None:
    changed = bytearray(QUOTE)
    changed[offset] ^= mask
    assert result_or_code(parse_attest, bytes(changed)) != parse_attest(QUOTE)
