import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.tcg.algorithms import Algorithm
from swt3_agent.tcg.curves import P256, P384
from swt3_agent.tcg.public import Attribute, EccPublic, check_ak, parse_public, parse_tpmt
from tests.unit.tcg.vectors import AK_TPMT, VECTORS, result_or_code

AK = parse_public(AK_TPMT)


def code_of(data: bytes) -> str:
    with pytest.raises(FormatError) as caught:
        parse_public(data)
    return caught.value.code


@pytest.mark.parametrize("key", ["ak", "parent", "p384"])
def test_the_name_is_the_one_the_tpm_gave(key: str) -> None:
    assert parse_public(bytes.fromhex(VECTORS[key]["tpmt"])).name().hex() == VECTORS[key]["name"]


@pytest.mark.parametrize("key", ["ak", "p384"])
def test_spki_and_pem_are_those_of_other_libraries(key: str) -> None:
    public = parse_public(bytes.fromhex(VECTORS[key]["tpmt"]))
    assert public.to_pem() == VECTORS[key]["pem"]
    loaded = load_pem_public_key(public.to_pem().encode())
    assert loaded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public.spki_der()


def test_tpm2b_and_tpmt_read_the_same() -> None:
    tpm2b = bytes.fromhex(VECTORS["ak"]["tpm2b"])
    assert parse_public(tpm2b) == parse_tpmt(AK_TPMT) == AK
    with pytest.raises(FormatError) as caught:
        parse_tpmt(tpm2b)
    assert caught.value.code == "PUBLIC_TYPE"


def test_a_coordinate_without_its_leading_zeros_is_padded() -> None:
    scalar = next(
        n
        for n in range(1, 2000)
        if ec.derive_private_key(n, ec.SECP256R1()).public_key().public_numbers().x >> 248 == 0
    )
    numbers = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
    x, y = numbers.x.to_bytes(31, "big"), numbers.y.to_bytes(32, "big")
    public = parse_public(AK_TPMT[:-68] + b"\x00\x1f" + x + b"\x00\x20" + y)
    assert (public.x, public.y) == (b"\0" + x, y)
    loaded = load_der_public_key(public.spki_der())
    assert isinstance(loaded, ec.EllipticCurvePublicKey)
    assert loaded.public_numbers() == numbers


def test_every_truncation_is_refused() -> None:
    codes = {code_of(AK_TPMT[:size]) for size in range(len(AK_TPMT))}
    assert codes == {"PUBLIC_TRUNCATED"}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (AK_TPMT + b"\0", "PUBLIC_TRAILING"),
        (bytes.fromhex(VECTORS["rsa"]["tpmt"]), "PUBLIC_TYPE"),
        (AK_TPMT[:2] + b"\x00\x12" + AK_TPMT[4:], "PUBLIC_NAME_ALG"),
        (AK_TPMT[:8] + b"\x00\x41" + AK_TPMT[10:], "PUBLIC_OVERSIZED"),
        (AK_TPMT[:10] + b"\x00\x01" + AK_TPMT[12:], "PUBLIC_SYMMETRIC"),
        (AK_TPMT[:12] + b"\x00\x14" + AK_TPMT[14:], "PUBLIC_SCHEME"),
        (AK_TPMT[:16] + b"\x00\x20" + AK_TPMT[18:], "PUBLIC_CURVE"),
        (AK_TPMT[:18] + b"\x00\x20" + AK_TPMT[20:], "PUBLIC_KDF"),
        (AK_TPMT[:-1] + bytes([AK_TPMT[-1] ^ 1]), "PUBLIC_POINT"),
        (AK_TPMT + bytes(2000), "PUBLIC_OVERSIZED"),
        (AK_TPMT[:-34] + b"\x00\x21\x00" + AK_TPMT[-32:], "PUBLIC_OVERSIZED"),  # y padded
    ],
)
def test_damaged_and_foreign_areas_are_refused_by_name(data: bytes, code: str) -> None:
    assert code_of(data) == code


def test_curve_constants_hold_the_points_of_another_library() -> None:
    for curve, theirs in ((P256, ec.SECP256R1()), (P384, ec.SECP384R1())):
        point = ec.derive_private_key(7, theirs).public_key().public_numbers()
        assert curve.holds(point.x, point.y)
        assert not curve.holds(point.x, point.y + 1)
        assert not curve.holds(point.x + curve.prime, point.y)


def test_the_attestation_key_of_the_agent_is_accepted() -> None:
    check_ak(AK)


def with_attributes(attributes: int) -> EccPublic:
    return dataclasses.replace(AK, attributes=attributes)


@pytest.mark.parametrize(
    ("public", "code"),
    [
        (with_attributes(AK.attributes & ~Attribute.RESTRICTED), "AK_NOT_RESTRICTED"),
        (with_attributes(AK.attributes & ~Attribute.SIGN), "AK_NOT_SIGN"),
        (with_attributes(AK.attributes & ~Attribute.FIXED_TPM), "AK_NOT_FIXED_TPM"),
        (with_attributes(AK.attributes & ~Attribute.FIXED_PARENT), "AK_NOT_FIXED_PARENT"),
        (
            with_attributes(AK.attributes & ~Attribute.SENSITIVE_DATA_ORIGIN),
            "AK_NOT_DATA_ORIGIN",
        ),
        (with_attributes(AK.attributes | Attribute.DECRYPT), "AK_DECRYPT"),
        (with_attributes(AK.attributes | Attribute.ENCRYPTED_DUPLICATION), "AK_ATTRIBUTES"),
        (with_attributes(AK.attributes | Attribute.X509_SIGN), "AK_ATTRIBUTES"),
        (with_attributes(AK.attributes | 1 << 31), "AK_ATTRIBUTES"),
        (dataclasses.replace(AK, name_alg=Algorithm.SHA1), "AK_NAME_ALG"),
        (dataclasses.replace(AK, curve=P384), "AK_CURVE"),
        (dataclasses.replace(AK, scheme=Algorithm.NULL), "AK_SCHEME"),
        (dataclasses.replace(AK, scheme_hash=Algorithm.SHA384), "AK_SCHEME"),
        (parse_public(bytes.fromhex(VECTORS["parent"]["tpmt"])), "AK_NOT_SIGN"),
        (parse_public(bytes.fromhex(VECTORS["p384"]["tpmt"])), "AK_NOT_RESTRICTED"),
    ],
)
def test_a_key_that_is_no_attestation_key_is_refused_by_name(public: EccPublic, code: str) -> None:
    with pytest.raises(FormatError) as caught:
        check_ak(public)
    assert caught.value.code == code


@given(st.binary(max_size=128) | st.binary(max_size=120).map(lambda tail: AK_TPMT[:20] + tail))
def test_any_bytes_are_a_public_area_or_a_format_error(data: bytes) -> None:
    result = result_or_code(parse_public, data)
    assert isinstance(result, EccPublic) or result.startswith("PUBLIC_")


@given(st.integers(0, len(AK_TPMT) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_the_name(offset: int, mask: int) -> None:
    changed = bytearray(AK_TPMT)
    changed[offset] ^= mask
    result = result_or_code(parse_public, bytes(changed))
    assert isinstance(result, str) or result.name() != AK.name()
