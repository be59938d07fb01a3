"""Public areas of RSA keys, and of endorsement keys of any kind."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.tcg.algorithms import Algorithm
from swt3_agent.tcg.public import EccPublic, parse_key
from swt3_agent.tcg.rsa_public import RsaPublic, parse_rsa
from tests.unit.tcg.vectors import AK_TPMT, KEYS, result_or_code

ENDORSEMENT = {key["template"]: key for key in KEYS["endorsement"]}
RSA = bytes.fromhex(ENDORSEMENT["rsa2048"]["tpmt"])
BITS = RSA.index(bytes.fromhex("0800000000000100"))  # keyBits, exponent, size of the modulus


def patched(offset: int, value: str) -> bytes:
    replacement = bytes.fromhex(value)
    return RSA[:offset] + replacement + RSA[offset + len(replacement) :]


@pytest.mark.parametrize("template", ["rsa2048", "ecc256", "ecc384"])
def test_an_endorsement_key_has_the_name_and_spki_that_others_give_it(template: str) -> None:
    key = ENDORSEMENT[template]
    public = parse_key(bytes.fromhex(key["tpmt"]))
    assert public.name().hex() == key["name"]
    assert public.spki_der().hex() == key["spki"]
    load_der_public_key(public.spki_der())


def test_an_rsa_key_is_read_as_the_tpm_made_it() -> None:
    public = parse_rsa(RSA)
    assert (public.bits, public.exponent) == (2048, 65537)
    assert public.symmetric == (Algorithm.AES, 128, Algorithm.CFB)
    loaded = load_der_public_key(public.spki_der())
    assert isinstance(loaded, rsa.RSAPublicKey)
    assert loaded.public_numbers() == rsa.RSAPublicNumbers(65537, public.modulus)
    assert public.public_key().public_numbers() == loaded.public_numbers()


def test_the_cipher_of_a_p384_key_has_256_bits() -> None:
    public = parse_key(bytes.fromhex(ENDORSEMENT["ecc384"]["tpmt"]))
    assert isinstance(public, EccPublic)
    assert public.symmetric == (Algorithm.AES, 256, Algorithm.CFB)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (RSA + b"\0", "PUBLIC_TRAILING"),
        (AK_TPMT, "PUBLIC_TYPE"),
        (patched(2, "0012"), "PUBLIC_NAME_ALG"),
        (patched(BITS - 2, "0018"), "PUBLIC_SCHEME"),
        (patched(BITS, "0400"), "PUBLIC_RSA_SIZE"),
        (patched(BITS, "0c00"), "PUBLIC_RSA_SIZE"),  # the modulus is of another size
        (patched(BITS + 2, "00000001"), "PUBLIC_RSA_EXPONENT"),
        (patched(BITS + 2, "00010000"), "PUBLIC_RSA_EXPONENT"),
        (patched(BITS + 6, "0101"), "PUBLIC_OVERSIZED"),
        (patched(BITS + 8, "00"), "PUBLIC_RSA_SIZE"),
        (RSA[:-1] + bytes([RSA[-1] & 0xFE]), "PUBLIC_RSA_SIZE"),
        (RSA + bytes(2000), "PUBLIC_OVERSIZED"),
    ],
)
def test_damaged_and_foreign_areas_are_refused_by_name(data: bytes, code: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_rsa(data)
    assert caught.value.code == code


def test_every_truncation_is_refused() -> None:
    codes = {result_or_code(parse_key, RSA[:size]) for size in range(len(RSA))}
    assert codes == {"PUBLIC_TRUNCATED"}


@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda tail: RSA[:BITS] + tail))
def test_any_bytes_are_a_key_or_a_format_error(data: bytes) -> None:
    result = result_or_code(parse_key, data)
    assert isinstance(result, EccPublic | RsaPublic) or result.startswith("PUBLIC_")


@given(st.integers(0, len(RSA) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_the_name(offset: int, mask: int) -> None:
    changed = bytearray(RSA)
    changed[offset] ^= mask
    result = result_or_code(parse_key, bytes(changed))
    assert isinstance(result, str) or result.name() != parse_rsa(RSA).name()
