"""Challenge and answer: who gets a trust file, and what it says."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import msgspec
import pytest

from swt3_agent.errors import AgentError, FormatError, UsageError
from swt3_agent.protocol.enrolment import Answer, Challenge, EnrolmentKey, Request, encode_file
from swt3_agent.protocol.proof import encode_proof
from swt3_agent.protocol.trust import TpmKind
from swt3_agent.verify import Outcome, verify_proof
from swt3_agent.verify.enrolment import (
    Accepted,
    IssuedChallenge,
    PendingState,
    Policy,
    UsedState,
    accept_answer,
    encode_state,
    issue_challenge,
    pending_state,
    read_authorities,
    renew,
    revoke,
)
from swt3_agent.verify.enrolment.acceptance import DAY_MS, MAX_AGE_MS
from tests.support.enrolment import (
    COUNTER_PUBLIC,
    NOW_MS,
    SWTPM,
    PaperEk,
    UnopenedError,
    Vendor,
    answer_to,
    counter_evidence,
    enrolment_key,
    paper_ek,
    request_of,
)
from tests.support.forge import ENROLLER, OTHER_AK, OTHER_ENROLLER, PaperNode, Quote, ak_public

ROOT = Vendor()
EK, OTHER_EK = paper_ek("ecc256"), paper_ek("ecc256 of another TPM")
CERTIFIED = enrolment_key(EK, ROOT.certify(EK))
BARE = enrolment_key(EK)
NODE = PaperNode()
TRUSTED = Policy(read_authorities({"root.pem": ROOT.pem}), None)
PINNED = Policy(None, frozenset({EK.spki_sha256}))


def challenge(request: Request, policy: Policy = TRUSTED) -> IssuedChallenge:
    return issue_challenge(encode_file(request), policy, NOW_MS)


def accept(
    answer: bytes, state: PendingState, *, now_ms: int = NOW_MS, software: bool = False
) -> Accepted:
    return accept_answer(
        answer,
        state,
        ENROLLER,
        name="enroller.example",
        valid_days=30,
        now_ms=now_ms,
        allow_software_tpm=software,
    )


def refused(code: str, call: Callable[[], object]) -> AgentError:
    with pytest.raises(AgentError) as caught:
        call()
    assert caught.value.code == code, caught.value.message
    return caught.value


@pytest.mark.parametrize("kind", ["rsa2048", "ecc256", "ecc384"])
def test_a_round_with_a_certificate_ends_in_a_trust_file_that_verifies(kind: str) -> None:
    ek = paper_ek(kind)
    counter = counter_evidence(NODE)
    request = request_of(NODE, enrolment_key(ek, ROOT.certify(ek)), counter=counter)
    issued = challenge(request)
    accepted = accept(answer_to(issued.challenge, ek), issued.state)
    statement = accepted.statement
    assert (statement.tpm, statement.ek_certified) == (TpmKind.HARDWARE, True)
    assert statement.ek_root_sha256 == sha256(ROOT.der).digest()
    assert statement.ek_sha256 == ek.spki_sha256
    assert statement.counter_name == b"\x00\x0b" + sha256(COUNTER_PUBLIC).digest()
    assert statement.floors is not None
    assert (statement.floors.size, statement.valid_until_ms) == (7, NOW_MS + 30 * DAY_MS)
    report = verify_proof(encode_proof(NODE.proof(0)), trust=accepted.trust)
    assert (report.outcome, report.code) == (Outcome.VERIFIED, "VERIFIED")
    assert statement.ek_root_sha256.hex() in report.trusted


def test_a_pinned_ek_is_said_to_be_pinned() -> None:
    issued = challenge(request_of(NODE, BARE), PINNED)
    accepted = accept(answer_to(issued.challenge, EK), issued.state)
    assert (accepted.statement.ek_certified, accepted.statement.ek_root_sha256) == (False, None)
    report = verify_proof(encode_proof(NODE.proof(0)), trust=accepted.trust)
    assert report.outcome is Outcome.VERIFIED
    assert "pinned" in report.trusted
    assert any("pinned" in sentence for sentence in report.not_proven)


def test_no_anchor_at_all_is_a_mistake() -> None:
    with pytest.raises(UsageError) as caught:
        Policy(None, None)
    assert caught.value.code == "ENROL_NO_ANCHOR"


def test_an_ek_that_is_not_allowed_is_refused_whatever_certifies_it() -> None:
    other = frozenset({OTHER_EK.spki_sha256})
    request = request_of(NODE, CERTIFIED)
    refused("EK_NOT_ALLOWED", lambda: challenge(request, Policy(None, other)))
    found = refused(
        "EK_NOT_ALLOWED", lambda: challenge(request, Policy(TRUSTED.authorities, other))
    )
    assert EK.spki_sha256.hex() in found.message
    both = Policy(TRUSTED.authorities, frozenset({EK.spki_sha256}))
    assert challenge(request_of(NODE, CERTIFIED), both).endorsement.certified is not None
    assert challenge(request_of(NODE, BARE), both).endorsement.certified is None


def test_a_certificate_that_does_not_hold_is_no_better_for_a_pin() -> None:
    stranger = enrolment_key(EK, Vendor("Stranger", organisation="Other").certify(EK))
    both = Policy(TRUSTED.authorities, frozenset({EK.spki_sha256}))
    refused("EK_CERT_UNTRUSTED_ROOT", lambda: challenge(request_of(NODE, stranger), both))
    assert challenge(request_of(NODE, stranger), PINNED).endorsement.certified is None


def test_without_a_certificate_the_digest_to_pin_is_told() -> None:
    found = refused("EK_CERT_ABSENT", lambda: challenge(request_of(NODE, BARE)))
    assert EK.spki_sha256.hex() in found.remedy


def test_the_first_ek_whose_certificate_holds_is_challenged() -> None:
    high = paper_ek("ecc384")
    keys = [
        BARE,
        enrolment_key(OTHER_EK, ROOT.certify(EK)),
        enrolment_key(high, ROOT.certify(high)),
    ]
    issued = challenge(request_of(NODE, *keys))
    assert issued.endorsement.template == "ecc384"
    assert accept(answer_to(issued.challenge, high), issued.state)


def test_where_none_holds_the_first_that_has_a_certificate_says_why() -> None:
    keys = [BARE, enrolment_key(OTHER_EK, ROOT.certify(EK))]
    refused("EK_CERT_KEY_MISMATCH", lambda: challenge(request_of(NODE, *keys)))


def test_an_ek_that_no_tpm_has_is_refused() -> None:
    signs = PaperEk(EK.key, attributes=0x000300B2 | 1 << 18)
    refused("EK_ATTRIBUTES", lambda: challenge(request_of(NODE, enrolment_key(signs)), PINNED))
    damaged = EnrolmentKey(template="ecc256", public=EK.public[:-1])
    refused("PUBLIC_TRUNCATED", lambda: challenge(request_of(NODE, damaged), PINNED))


@pytest.mark.parametrize(
    ("request_", "policy"),
    [
        (request_of(NODE, CERTIFIED, kind="software-tpm"), TRUSTED),
        (request_of(NODE, CERTIFIED, manufacturer="IBM"), TRUSTED),
        (request_of(NODE, enrolment_key(EK, ROOT.certify(EK, manufacturer=SWTPM))), TRUSTED),
        (request_of(NODE, BARE, kind="software-tpm"), PINNED),
    ],
    ids=["by its node", "by itself", "by its certificate", "pinned"],
)
def test_a_software_tpm_is_enrolled_only_where_it_is_allowed_twice(
    request_: Request, policy: Policy
) -> None:
    refused("EK_SOFTWARE", lambda: challenge(request_, policy))
    issued = challenge(request_, replace(policy, allow_software_tpm=True))
    answer = answer_to(issued.challenge, EK)
    refused("EK_SOFTWARE", lambda: accept(answer, issued.state))
    accepted = accept(answer, issued.state, software=True)
    assert accepted.statement.tpm is TpmKind.SOFTWARE
    assert b"\ntpm software\n" in accepted.trust
    report = verify_proof(encode_proof(NODE.proof(0)), trust=accepted.trust)
    assert (report.outcome, report.code) == (Outcome.UNDECIDED, "SOFTWARE_TPM")


def test_the_ek_of_one_tpm_enrols_no_ak_of_another() -> None:
    """A request with the EK and certificate of TPM A, made where only TPM B is."""
    issued = challenge(request_of(NODE, CERTIFIED))
    with pytest.raises(UnopenedError):
        answer_to(issued.challenge, OTHER_EK)


def test_a_challenge_is_opened_beside_no_other_ak() -> None:
    issued = challenge(request_of(NODE, CERTIFIED))
    with pytest.raises(UnopenedError):
        answer_to(issued.challenge, EK, key=OTHER_AK)


ISSUED = challenge(request_of(NODE, CERTIFIED))


def changed(**fields: object) -> Callable[[Answer], Answer]:
    return lambda answer: msgspec.structs.replace(answer, **fields)


OTHER_NAME = (b"\x00\x0b" + sha256(ak_public(OTHER_AK)).digest()).hex()


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (changed(activation="00" * 32), "ACTIVATION_WRONG_SECRET"),
        (changed(ak_name=OTHER_NAME), "ACTIVATION_OTHER_NAME"),
        (changed(challenge="00" * 32), "ACTIVATION_OTHER_CHALLENGE"),
        (changed(request="00" * 32), "ACTIVATION_OTHER_CHALLENGE"),
    ],
    ids=["secret", "name", "challenge", "request"],
)
def test_an_answer_that_does_not_show_the_secret_is_refused(
    tamper: Callable[[Answer], Answer], code: str
) -> None:
    answer = answer_to(ISSUED.challenge, EK, tamper=tamper)
    refused(code, lambda: accept(answer, ISSUED.state))


def test_the_answer_to_one_challenge_answers_no_other() -> None:
    again = challenge(request_of(NODE, CERTIFIED))
    answer = answer_to(again.challenge, EK)
    refused("ACTIVATION_OTHER_CHALLENGE", lambda: accept(answer, ISSUED.state))


@pytest.mark.parametrize(
    ("quote", "code"),
    [
        (Quote(selection=b"\x00\x00\x00\x00"), "ACTIVATION_QUOTE"),
        (Quote(digest=bytes(32)), "ACTIVATION_QUOTE"),
        (Quote(clock_ms=4_999_999), "ACTIVATION_CLOCK"),
        (Quote(clock_ms=9_000_000, resets=6), "ACTIVATION_CLOCK"),
        (Quote(magic=b"\xffTCH"), "ATTEST_MAGIC"),
    ],
    ids=["no register", "other values", "an earlier clock", "fewer resets", "no TPM"],
)
def test_the_ak_must_quote_after_the_head(quote: Quote, code: str) -> None:
    answer = answer_to(ISSUED.challenge, EK, quote=quote)
    refused(code, lambda: accept(answer, ISSUED.state))


def test_a_later_boot_may_answer() -> None:
    quote = Quote(clock_ms=4_000_000, resets=8)
    assert accept(answer_to(ISSUED.challenge, EK, quote=quote), ISSUED.state)


def test_a_quote_for_something_else_is_no_answer() -> None:
    answer = answer_to(ISSUED.challenge, EK, nonce=bytes(31))
    refused("ACTIVATION_QUOTE", lambda: accept(answer, ISSUED.state))


def test_a_quote_of_another_key_is_no_answer() -> None:
    quote = msgspec.json.decode(answer_to(ISSUED.challenge, EK), type=Answer).quote
    forged = msgspec.structs.replace(quote, signature=quote.signature[:-1] + b"\x01")
    answer = answer_to(ISSUED.challenge, EK, tamper=changed(quote=forged))
    with pytest.raises(FormatError) as caught:
        accept(answer, ISSUED.state)
    assert caught.value.code in {"ACTIVATION_QUOTE", "SIGNATURE_DER"}


def test_a_challenge_does_not_wait_for_ever() -> None:
    answer = answer_to(ISSUED.challenge, EK)
    refused(
        "ACTIVATION_EXPIRED", lambda: accept(answer, ISSUED.state, now_ms=NOW_MS + MAX_AGE_MS + 1)
    )
    assert accept(answer, ISSUED.state, now_ms=NOW_MS + MAX_AGE_MS)


def test_no_file_for_others_holds_the_secret() -> None:
    secret = ISSUED.state.secret
    answer = answer_to(ISSUED.challenge, EK)
    trust = accept(answer, ISSUED.state).trust
    for text in (ISSUED.challenge, answer, trust, repr(ISSUED.state).encode()):
        for spelled in (secret, secret.hex().encode(), msgspec.json.encode(secret)[1:-2]):
            assert spelled not in text


def test_a_challenge_names_what_it_is_for() -> None:
    asked = msgspec.json.decode(ISSUED.challenge, type=Challenge)
    assert asked.request == sha256(encode_file(request_of(NODE, CERTIFIED))).hexdigest()
    assert asked.ek == EK.spki_sha256.hex()
    assert asked.node_id == NODE.node_id


def test_a_state_is_read_back_and_used_once() -> None:
    assert pending_state(encode_state(ISSUED.state)) == ISSUED.state
    used = UsedState(challenge="00" * 32, answer="11" * 32, used_ms=NOW_MS)
    found = refused("ACTIVATION_REUSED", lambda: pending_state(encode_state(used)))
    assert "2026-08-01" in found.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"format":"\xff"}',
        b'{"format":"swt3-agent/enrol-state/1"}',
        b"{" * 400_000,
    ],
    ids=["empty", "object", "list", "no text", "no UTF-8", "fields lack", "large"],
)
def test_what_is_no_state_is_refused(data: bytes) -> None:
    refused("ENROL_STATE", lambda: pending_state(data))


TRUST = accept(answer_to(ISSUED.challenge, EK), ISSUED.state).trust


def test_a_revoked_trust_file_vouches_for_earlier_heads_only() -> None:
    proof = encode_proof(NODE.proof(0))
    before = revoke(TRUST, ENROLLER, at_ms=NODE.utc_ms + 1)
    assert verify_proof(proof, trust=before).outcome is Outcome.VERIFIED
    after = revoke(before, ENROLLER, at_ms=NODE.utc_ms)
    assert verify_proof(proof, trust=after).code == "TRUST_REVOKED"
    assert revoke(after, ENROLLER, at_ms=NOW_MS) == after


def test_a_revocation_is_not_renewed_away() -> None:
    longer = renew(TRUST, ENROLLER, valid_days=400, now_ms=NOW_MS)
    assert b" %d\n" % (NOW_MS + 400 * DAY_MS) in longer
    revoked = revoke(longer, ENROLLER, at_ms=NOW_MS)
    refused("TRUST_REVOKED", lambda: renew(revoked, ENROLLER, valid_days=1, now_ms=NOW_MS))


def test_only_the_enroller_writes_his_trust_file_again() -> None:
    for again in (
        lambda: revoke(TRUST, OTHER_ENROLLER, at_ms=NOW_MS),
        lambda: renew(TRUST, OTHER_ENROLLER, valid_days=1, now_ms=NOW_MS),
    ):
        refused("TRUST_OTHER_ENROLLER", again)
    refused(
        "TRUST_SIGNATURE",
        lambda: revoke(TRUST.replace(b"log-pcr 13", b"log-pcr 12"), ENROLLER, at_ms=1),
    )
