import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.succession import successor_data
from swt3_agent.tcg.public import parse_tpmt
from swt3_agent.verify.succession import SuccessorLink, check_succession, check_successions
from tests.support import forge
from tests.support.forge import AK, LOG_ID, OTHER_AK, Quote, ak_public, sized
from tests.unit.tcg.vectors import KEYS

VECTOR = KEYS["succession"]
THIRD_AK = ec.derive_private_key(0x7468_6972, ec.SECP256R1())


def link_of(vector: dict[str, str]) -> SuccessorLink:
    return SuccessorLink(*(bytes.fromhex(vector[name]) for name in ("new", "attest", "signature")))


def link(
    public: bytes | None = None,
    *,
    name: bytes | None = None,
    extra: bytes | None = None,
    kind: int = 0x8017,
    signer: ec.EllipticCurvePrivateKey = AK,
) -> SuccessorLink:
    """What the key ``AK`` would sign about ``OTHER_AK``, or any lie."""
    public = ak_public(OTHER_AK) if public is None else public
    name = parse_tpmt(public).name() if name is None else name
    extra = successor_data(LOG_ID, parse_tpmt(ak_public(AK)).name()) if extra is None else extra
    if kind == 0x8017:
        info = sized(name) + sized(bytes(34))
    else:
        info = sized(name) + b"\0\0" + sized(bytes(8))
    attest = Quote(type=kind, extra=extra, info=info).attest(b"", {})
    return SuccessorLink(public, attest, forge.sign(signer, attest))


def without(attribute: int) -> bytes:
    """The public area of a key that is no AK, for want of this attribute."""
    return ak_public(OTHER_AK, attributes=forge.AK_ATTRIBUTES & ~attribute)


def code_of(one: SuccessorLink, log_id: str = LOG_ID) -> str:
    with pytest.raises(FormatError) as caught:
        check_succession(parse_tpmt(ak_public(AK)), one, log_id)
    assert caught.value.remedy
    return caught.value.code


def test_the_keys_of_a_tpm_follow_each_other() -> None:
    old = parse_tpmt(bytes.fromhex(VECTOR["old"]))
    keys = check_successions(old, [link_of(VECTOR), link_of(VECTOR["next"])], VECTOR["log_id"])
    assert [key.tpmt.hex() for key in keys] == [VECTOR["old"], VECTOR["new"], VECTOR["next"]["new"]]


def test_a_link_cannot_be_left_out_or_turned_round() -> None:
    old = parse_tpmt(bytes.fromhex(VECTOR["old"]))
    for links in ([VECTOR["next"]], [VECTOR["next"], VECTOR]):
        with pytest.raises(FormatError) as caught:
            check_successions(old, [link_of(one) for one in links], VECTOR["log_id"])
        assert caught.value.code == "SUCCESSION_SIGNATURE"


def test_the_qualifying_data_bind_log_and_key() -> None:
    name = bytes.fromhex(VECTOR["old_name"])
    assert successor_data(VECTOR["log_id"], name).hex() in VECTOR["attest"]
    assert successor_data("ab" * 16, name) != successor_data("cd" * 16, name)
    assert len(successor_data("ab" * 8, name)) == 32


def test_an_honest_link_is_followed() -> None:
    assert check_succession(parse_tpmt(ak_public(AK)), link(), LOG_ID).tpmt == ak_public(OTHER_AK)


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (link(signer=OTHER_AK), "SUCCESSION_SIGNATURE"),
        (link(kind=0x8014), "SUCCESSION_TYPE"),
        (link(name=parse_tpmt(ak_public(THIRD_AK)).name()), "SUCCESSION_NAME"),
        (link(extra=bytes(32)), "SUCCESSION_DATA"),
        (link(ak_public(AK)), "SUCCESSION_SELF"),
        (link(without(forge.FIXED_TPM)), "AK_NOT_FIXED_TPM"),
        (link(without(forge.RESTRICTED)), "AK_NOT_RESTRICTED"),
        (link(without(forge.DATA_ORIGIN)), "AK_NOT_DATA_ORIGIN"),
        (dataclasses.replace(link(), ak_public=ak_public(THIRD_AK)), "SUCCESSION_NAME"),
        (dataclasses.replace(link(), ak_public=ak_public(OTHER_AK, y_shift=1)), "PUBLIC_POINT"),
        (dataclasses.replace(link(), attest=link().attest[:-1]), "SUCCESSION_SIGNATURE"),
        (dataclasses.replace(link(), signature_der=b""), "SIGNATURE_TRUNCATED"),
    ],
)
def test_a_key_that_the_old_one_did_not_vouch_for_is_refused_by_name(
    one: SuccessorLink, code: str
) -> None:
    assert code_of(one) == code


def test_a_certification_for_another_log_is_refused() -> None:
    assert code_of(link(), "ef" * 16) == "SUCCESSION_DATA"


def test_a_quote_of_the_old_key_certifies_nothing() -> None:
    old = parse_tpmt(bytes.fromhex(VECTOR["old"]))
    one = dataclasses.replace(
        link_of(VECTOR),
        attest=bytes.fromhex(VECTOR["quote"]),
        signature_der=bytes.fromhex(VECTOR["quote_signature"]),
    )
    with pytest.raises(FormatError) as caught:
        check_succession(old, one, VECTOR["log_id"])
    assert caught.value.code == "SUCCESSION_TYPE"


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=80))
def test_any_bytes_are_refused(public: bytes, attest: bytes, signature: bytes) -> None:
    assert code_of(SuccessorLink(public, attest, signature)).startswith("PUBLIC_")
    assert code_of(dataclasses.replace(link(), signature_der=signature)).startswith(
        ("SIGNATURE_", "SUCCESSION_")
    )
