"""A proof under a key that followed the enrolled one: docs/formats.md, "Succession"."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from swt3_agent.protocol.bundle_evidence import SuccessionInfo
from swt3_agent.protocol.note import encode_base64
from swt3_agent.protocol.proof import Proof, decode_proof, encode_proof
from swt3_agent.protocol.stating import make_statement
from swt3_agent.protocol.succession import successor_data
from swt3_agent.tcg.public import parse_tpmt
from swt3_agent.verify import (
    Outcome,
    Report,
    verify_challenge,
    verify_proof,
    verify_statement,
)
from tests.support import forge
from tests.support.forge import (
    AK,
    AK_ATTRIBUTES,
    LOG_ID,
    OTHER_AK,
    RESTRICTED,
    UTC_MS,
    WITNESS_SEQ,
    PaperNode,
    Quote,
    ak_public,
    sized,
    trust_file,
)
from tests.support.statements import RECORD
from tests.unit.verify.test_challenge import NONCE, answer
from tests.unit.verify.test_dsse import signed

THIRD_AK = ec.derive_private_key(0x7468_6972, ec.SECP256R1())
ENROLLED = trust_file()


def link(
    old: ec.EllipticCurvePrivateKey,
    new: ec.EllipticCurvePrivateKey,
    *,
    public: bytes | None = None,
    signer: ec.EllipticCurvePrivateKey | None = None,
    extra: bytes | None = None,
    type: int = 0x8017,
) -> SuccessionInfo:
    """``old`` certifies ``new`` as its successor, unless changed."""
    name = parse_tpmt(ak_public(new)).name()
    data = successor_data(LOG_ID, parse_tpmt(ak_public(old)).name())
    info = sized(name) + sized(name)
    if type == 0x8018:
        info = forge.selection([0]) + sized(bytes(32))
    attest = Quote(type=type, extra=extra or data, info=info).attest(b"", {})
    return SuccessionInfo(
        ak_public=encode_base64(public or ak_public(new)),
        attest=encode_base64(attest),
        signature=encode_base64(forge.sign(signer or old, attest)),
    )


def node_of(key: ec.EllipticCurvePrivateKey) -> PaperNode:
    return PaperNode(key=key, public=ak_public(key))


def proof_by(key: ec.EllipticCurvePrivateKey, *links: SuccessionInfo, **changes: Any) -> Proof:
    return replace(node_of(key).proof(WITNESS_SEQ), successions=links, **changes)


def judge(proof: Proof, trust: bytes | None = ENROLLED) -> Report:
    data = encode_proof(proof)
    assert decode_proof(data) == proof
    return verify_proof(data, trust=trust, allow_software_tpm=True, now_ms=UTC_MS)


def test_a_key_that_followed_the_enrolled_one_speaks_for_the_node() -> None:
    report = judge(proof_by(OTHER_AK, link(AK, OTHER_AK)))
    assert report.code == "VERIFIED"
    assert [key.tpmt for key in report.keys] == [ak_public(AK), ak_public(OTHER_AK)]
    assert "1 rotations away" in report.checks[-2].detail


def test_two_rotations_are_followed() -> None:
    links = link(AK, OTHER_AK), link(OTHER_AK, THIRD_AK)
    assert judge(proof_by(THIRD_AK, *links)).code == "VERIFIED"


def test_a_key_enrolled_since_needs_only_what_came_after_it() -> None:
    links = link(AK, OTHER_AK), link(OTHER_AK, THIRD_AK)
    for key in (OTHER_AK, THIRD_AK):
        trust = trust_file(ak_public=ak_public(key))
        assert judge(proof_by(THIRD_AK, *links), trust).code == "VERIFIED"


def test_the_earlier_head_may_be_an_earlier_key_s() -> None:
    links = link(AK, OTHER_AK), link(OTHER_AK, THIRD_AK)
    for key in (AK, OTHER_AK, THIRD_AK):
        previous = node_of(key).head_before(3)
        assert judge(proof_by(THIRD_AK, *links, previous=previous)).code == "VERIFIED"


def test_the_earlier_head_is_of_one_of_the_keys() -> None:
    previous = node_of(THIRD_AK).head_before(3)
    report = judge(proof_by(OTHER_AK, link(AK, OTHER_AK), previous=previous))
    assert (report.code, report.outcome) == ("TRUST_AK", Outcome.FALSE)


UNRESTRICTED = ak_public(OTHER_AK, attributes=AK_ATTRIBUTES & ~RESTRICTED)


@pytest.mark.parametrize(
    ("proof", "code"),
    [
        (proof_by(OTHER_AK), "TRUST_AK"),
        (proof_by(THIRD_AK, link(AK, OTHER_AK)), "TRUST_AK"),
        (proof_by(OTHER_AK, link(AK, OTHER_AK), link(OTHER_AK, THIRD_AK)), "TRUST_AK"),
        (proof_by(THIRD_AK, link(OTHER_AK, THIRD_AK)), "SUCCESSION_SIGNATURE"),
        (proof_by(OTHER_AK, link(AK, OTHER_AK, signer=OTHER_AK)), "SUCCESSION_SIGNATURE"),
        (proof_by(OTHER_AK, link(AK, OTHER_AK, type=0x8018)), "SUCCESSION_TYPE"),
        (proof_by(OTHER_AK, link(AK, OTHER_AK, extra=bytes(32))), "SUCCESSION_DATA"),
        (proof_by(OTHER_AK, link(AK, OTHER_AK, public=ak_public(THIRD_AK))), "SUCCESSION_NAME"),
        (proof_by(OTHER_AK, link(AK, OTHER_AK, public=UNRESTRICTED)), "AK_NOT_RESTRICTED"),
        (proof_by(OTHER_AK, SuccessionInfo("?", "", "")), "PARSE_FIELD"),
    ],
)
def test_a_succession_that_is_none_is_refused(proof: Proof, code: str) -> None:
    report = judge(proof)
    assert (report.code, report.outcome) == (code, Outcome.FALSE)
    assert report.remedy


def test_without_a_trust_file_it_leads_nowhere() -> None:
    assert judge(proof_by(OTHER_AK, link(AK, OTHER_AK)), None).code == "SIGNER_UNANCHORED"


# ---- beyond proofs --------------------------------------------------------------------------


def answer_by(key: ec.EllipticCurvePrivateKey, *links: SuccessionInfo) -> dict[str, bytes]:
    return {**answer(key=key), "successions.json": msgspec.json.encode(links)}


def test_a_challenge_is_answered_by_a_key_that_followed() -> None:
    files = answer_by(OTHER_AK, link(AK, OTHER_AK))
    report = verify_challenge(files, nonce=NONCE, trust=ENROLLED, allow_software_tpm=True)
    assert report.code == "VERIFIED"
    assert [key.tpmt for key in report.keys] == [ak_public(AK), ak_public(OTHER_AK)]


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (answer_by(OTHER_AK), "TRUST_AK"),
        (answer_by(THIRD_AK, link(AK, OTHER_AK)), "TRUST_AK"),
        (answer_by(THIRD_AK, link(OTHER_AK, THIRD_AK)), "SUCCESSION_SIGNATURE"),
        ({**answer(), "successions.json": b"{}"}, "CHALLENGE_SUCCESSIONS"),
        ({**answer(), "successions.json": b"[" * 60_000}, "CHALLENGE_SUCCESSIONS"),
        ({**answer(), "successions.json": b"\xff"}, "CHALLENGE_SUCCESSIONS"),
    ],
)
def test_an_answer_by_a_key_that_did_not_follow_is_refused(
    files: dict[str, bytes], code: str
) -> None:
    report = verify_challenge(files, nonce=NONCE, trust=ENROLLED, allow_software_tpm=True)
    assert (report.code, report.outcome) == (code, Outcome.FALSE)


def stated_by(key: ec.EllipticCurvePrivateKey, *links: SuccessionInfo) -> bytes:
    told = [msgspec.to_builtins(each) for each in links]
    return signed(make_statement(replace(RECORD, successions=told)), key=key)


def test_a_statement_is_signed_by_a_key_that_followed() -> None:
    data = stated_by(OTHER_AK, link(AK, OTHER_AK))
    assert verify_statement(data, trust=ENROLLED, allow_software_tpm=True).code == "VERIFIED"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (stated_by(OTHER_AK), "DSSE_SIGNATURE"),
        (stated_by(AK, link(AK, OTHER_AK)), "DSSE_SIGNATURE"),
        (stated_by(OTHER_AK, link(AK, OTHER_AK, extra=bytes(32))), "SUCCESSION_DATA"),
        (stated_by(OTHER_AK, SuccessionInfo("?", "", "")), "PARSE_FIELD"),
    ],
)
def test_a_statement_of_a_key_that_did_not_follow_is_refused(data: bytes, code: str) -> None:
    report = verify_statement(data, trust=ENROLLED, allow_software_tpm=True)
    assert (report.code, report.outcome) == (code, Outcome.FALSE)
