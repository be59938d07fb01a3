"""In-toto statements in DSSE envelopes, judged by us and by securesystemslib."""

import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as PeersEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._key import SSlibKey

from swt3_agent.protocol.dsse import Envelope, EnvelopeSignature, encode_envelope, pae
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.statement import PAYLOAD_TYPE
from swt3_agent.protocol.stating import make_statement
from swt3_agent.protocol.trust import TpmKind
from swt3_agent.verify import Outcome, StatementReport, verify_statement
from tests.support import forge
from tests.support.forge import (
    AK,
    OTHER_AK,
    UTC_MS,
    ak_public,
    trust_file,
)
from tests.support.statements import AK_NAME, RECORD

TRUST = trust_file()
STATEMENT = make_statement(RECORD)


def signed(
    payload: bytes = STATEMENT, *, kind: str = PAYLOAD_TYPE, key: Any = AK, keyid: str = AK_NAME
) -> bytes:
    signature = forge.sign(key, pae(kind, payload))
    return encode_envelope(Envelope(kind, payload, (EnvelopeSignature(keyid, signature),)))


def judge(data: bytes, trust: bytes | None = TRUST, *, software: bool = True) -> StatementReport:
    report = verify_statement(data, trust=trust, allow_software_tpm=software)
    assert report.render().isascii()
    assert json.loads(json.dumps(report.to_json()))["exit_code"] == report.exit_code
    return report


def changed(**changes: Any) -> bytes:
    return json.dumps(json.loads(signed()) | changes).encode()


def restated(change: Any) -> bytes:
    """An envelope over the statement as ``change`` leaves it."""
    tree = json.loads(STATEMENT)
    change(tree)
    return signed(json.dumps(tree).encode())


def test_a_statement_of_the_enrolled_key_is_verified() -> None:
    report = judge(signed())
    assert (report.code, report.exit_code) == ("VERIFIED", 0)
    assert report.root_of_trust is RootOfTrust.SOFTWARE_TPM
    stated: Any = report.to_json()["statement"]
    assert (stated["attribute"], stated["record"]) == ("AI-MDL.1:PASS", 7)
    assert stated["subjects"] == [
        {"name": "llama", "sha256": "11" * 32},
        {"name": None, "sha256": "33" * 32},
    ]
    assert any("any text that the agent gives it" in limit for limit in report.not_proven)


def peers(data: bytes) -> PeersEnvelope:
    return PeersEnvelope.from_dict(json.loads(data))


def test_securesystemslib_accepts_it_with_a_plain_ecdsa_key() -> None:
    key = SSlibKey.from_crypto(AK.public_key(), keyid=AK_NAME)
    assert peers(signed()).verify([key], 1) == {AK_NAME: key}
    assert peers(signed()).pae() == pae(PAYLOAD_TYPE, STATEMENT)


def test_securesystemslib_rejects_a_changed_one() -> None:
    key = SSlibKey.from_crypto(AK.public_key(), keyid=AK_NAME)
    for data in (
        changed(payload=b64encode(STATEMENT.replace(b"PASS", b"FAIL")).decode()),
        changed(payloadType="text/plain"),
        signed(key=OTHER_AK),
    ):
        with pytest.raises(VerificationError):
            peers(data).verify([key], 1)


def test_what_securesystemslib_writes_is_read() -> None:
    envelope = peers(signed())
    assert judge(json.dumps(envelope.to_dict(), indent=1).encode()).code == "VERIFIED"


def test_url_safe_base_64_and_unknown_members_are_read() -> None:
    data = changed(payload=urlsafe_b64encode(STATEMENT).decode(), more={"x": 1})
    assert judge(data).code == "VERIFIED"


def test_a_hint_and_the_signatures_of_others_bind_nothing() -> None:
    assert judge(signed(keyid="")).code == "VERIFIED"
    tree = json.loads(signed())
    tree["signatures"] = [{"keyid": AK_NAME, "sig": "AAAA"}, {"sig": tree["signatures"][0]["sig"]}]
    assert judge(json.dumps(tree).encode()).code == "VERIFIED"


@pytest.mark.parametrize(
    ("code", "trust", "software"),
    [("SIGNER_UNANCHORED", None, True), ("SOFTWARE_TPM", TRUST, False)],
)
def test_what_lacks_leaves_doubt(code: str, trust: bytes | None, software: bool) -> None:
    report = judge(signed(), trust, software=software)
    assert (report.code, report.outcome) == (code, Outcome.UNDECIDED)


def test_a_hardware_tpm_needs_no_permission() -> None:
    trust = trust_file(tpm=TpmKind.HARDWARE)
    assert judge(signed(), trust, software=False).outcome is Outcome.VERIFIED


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "DSSE_FORMAT"),
        (b"[]", "DSSE_FORMAT"),
        (b'{"payload":"","payload":""}', "DSSE_FORMAT"),
        (changed(payload=7), "DSSE_FORMAT"),
        (changed(payloadType=None), "DSSE_FORMAT"),
        (b" " * (2 * 1024 * 1024 + 1), "DSSE_TOO_LARGE"),
        (changed(payload="?"), "DSSE_BASE64"),
        (changed(payload="ü"), "DSSE_BASE64"),
        (changed(signatures=[]), "DSSE_SIGNATURES"),
        (changed(signatures={}), "DSSE_SIGNATURES"),
        (changed(signatures=["x"]), "DSSE_SIGNATURES"),
        (changed(signatures=[{"sig": 1}]), "DSSE_SIGNATURES"),
        (changed(signatures=[{"keyid": 1, "sig": ""}]), "DSSE_SIGNATURES"),
        (changed(signatures=[{"sig": ""}] * 17), "DSSE_SIGNATURES"),
        (changed(signatures=[{"sig": ""}]), "DSSE_SIGNATURE"),
        (signed(key=OTHER_AK), "DSSE_SIGNATURE"),
        (signed(b"{"), "STATEMENT_FORMAT"),
        (signed(b"[]"), "STATEMENT_FORMAT"),
        (restated(lambda tree: tree.pop("subject")), "STATEMENT_FORMAT"),
        (restated(lambda tree: tree.update(subject=[])), "STATEMENT_FORMAT"),
        (restated(lambda tree: tree["subject"][0].update(digest={})), "STATEMENT_FORMAT"),
        (restated(lambda tree: tree["subject"][0].update(name=7)), "STATEMENT_FORMAT"),
        (restated(lambda tree: tree["predicate"].update(attributes=[])), "STATEMENT_FORMAT"),
    ],
)
def test_what_is_no_statement_of_the_key_is_refused(data: bytes, code: str) -> None:
    report = judge(data)
    assert (report.code, report.outcome) == (code, Outcome.FALSE)
    assert report.remedy
    assert report.to_json()["statement"] is None


@pytest.mark.parametrize(
    "data",
    [
        signed(kind="text/plain"),
        restated(lambda tree: tree.update(predicateType="https://slsa.dev/provenance/v1")),
        restated(lambda tree: tree.update(_type="https://in-toto.io/Statement/v0.1")),
    ],
)
def test_a_statement_of_another_type_cannot_be_judged(data: bytes) -> None:
    report = judge(data)
    assert (report.code, report.outcome) == ("STATEMENT_TYPE", Outcome.UNDECIDED)


def test_a_statement_of_another_log_is_refused() -> None:
    other = signed(make_statement(replace(RECORD, log_id="ef" * 8)))
    assert judge(other).code == "STATEMENT_NODE"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"valid_until_ms": UTC_MS}, "TRUST_VALIDITY"),
        ({"revoked_ms": UTC_MS}, "TRUST_REVOKED"),
        ({"ak_public": ak_public(OTHER_AK)}, "DSSE_SIGNATURE"),
    ],
)
def test_the_trust_file_must_vouch_for_the_moment(changes: dict[str, Any], code: str) -> None:
    assert judge(signed(), trust_file(**changes)).code == code


def test_what_was_anchored_before_the_enrolment_can_be_stated_after_it() -> None:
    later = signed(make_statement(replace(RECORD, signed_ms=UTC_MS + 500)))
    trust = trust_file(valid_from_ms=UTC_MS + 100, valid_until_ms=UTC_MS + 1000)
    assert judge(later, trust).outcome is Outcome.VERIFIED
    assert judge(signed(), trust).code == "TRUST_VALIDITY"


def test_an_unrestricted_key_is_refused_even_where_it_is_enrolled() -> None:
    public = ak_public(attributes=forge.AK_ATTRIBUTES & ~forge.RESTRICTED)
    assert judge(signed(), trust_file(ak_public=public)).code == "AK_NOT_RESTRICTED"


def test_a_quote_s_signature_is_not_a_statement_s() -> None:
    """What the key signs begins otherwise, so that neither passes for the other."""
    attest = forge.Quote().attest(b"", {0: bytes(32)})
    line = EnvelopeSignature(AK_NAME, forge.sign(AK, attest))
    data = encode_envelope(Envelope(PAYLOAD_TYPE, STATEMENT, (line,)))
    assert judge(data).code == "DSSE_SIGNATURE"
    assert pae(PAYLOAD_TYPE, STATEMENT)[:4] != b"\xffTCG"


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(data: bytes) -> None:
    assert judge(data).outcome is not Outcome.VERIFIED
    assert judge(signed(data)).outcome is not Outcome.VERIFIED


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just("11" * 32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members: list[tuple[Any, Any]] = list(tree.items()) if isinstance(tree, Mapping) else []
    members += enumerate(tree) if isinstance(tree, list) else []
    return [path, *(place for key, value in members for place in places(value, (*path, key)))]


@given(st.sampled_from(places(json.loads(STATEMENT))[1:]), json_values)
def test_any_value_in_a_statement_is_judged(place: tuple[Any, ...], value: object) -> None:
    tree = json.loads(STATEMENT)
    holder = tree
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    judge(signed(json.dumps(tree).encode()))


@given(st.integers(0, len(signed()) * 8 - 1))
def test_any_bit_flipped_in_an_envelope_changes_no_verified_content(bit: int) -> None:
    data = bytearray(signed())
    data[bit // 8] ^= 1 << bit % 8
    report = judge(bytes(data))
    if report.outcome is Outcome.VERIFIED:
        assert b64decode(json.loads(bytes(data))["payload"]) == STATEMENT
