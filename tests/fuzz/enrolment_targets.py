"""The parsers of an enrolment: its files, certificates, keys and signatures of strangers."""

from collections.abc import Mapping

import msgspec

from swt3_agent.protocol.enrolment import Answer, Challenge, Request, decode_file, encode_file
from swt3_agent.protocol.succession import successor_data
from swt3_agent.tcg.make_credential import make_credential
from swt3_agent.tcg.nv_public import check_counter, parse_nv_public
from swt3_agent.tcg.public import parse_key, parse_tpmt
from swt3_agent.tcg.signature import der_to_tpmt, tpmt_to_der
from swt3_agent.verify.enrolment import (
    Policy,
    accept_answer,
    check_request,
    encode_state,
    issue_challenge,
    pending_state,
    read_authorities,
)
from swt3_agent.verify.enrolment.certificate import certificate_facts, check_certificate
from swt3_agent.verify.succession import SuccessorLink, check_succession
from tests.fuzz.target import Target
from tests.support import forge
from tests.support.enrolment import (
    COUNTER_PUBLIC,
    NOW,
    NOW_MS,
    Vendor,
    answer_to,
    counter_evidence,
    enrolment_key,
    paper_ek,
    request_of,
)
from tests.support.forge import AK, ENROLLER, LOG_ID, OTHER_AK, PaperNode, Quote, ak_public, sign

NODE = PaperNode()
EKS = [paper_ek(kind) for kind in ("ecc256", "ecc384", "rsa2048")]
EK = EKS[0]
ROOT = Vendor()
ISSUER = Vendor("Issuing", by=ROOT)
CERTIFICATE = ISSUER.certify(EK)
AUTHORITIES = read_authorities({"root.pem": ROOT.pem, "issuer.pem": ISSUER.pem})
REQUEST = encode_file(
    request_of(
        NODE,
        enrolment_key(EK, CERTIFICATE),
        enrolment_key(EKS[2]),
        counter=counter_evidence(NODE),
    )
)
POLICY = Policy(AUTHORITIES, None)
ISSUED = issue_challenge(REQUEST, POLICY, NOW_MS)
ANSWER = answer_to(ISSUED.challenge, EK)
CERTIFIED_NAME = forge.sized(parse_tpmt(ak_public(OTHER_AK)).name())
CERTIFY = Quote(
    type=0x8017,
    extra=successor_data(LOG_ID, parse_tpmt(ak_public()).name()),
    info=CERTIFIED_NAME * 2,
).attest(b"", {})


def _credential(data: bytes) -> object:
    return make_credential(parse_key(data), b"\x00\x0b" + bytes(32), bytes(32))


def _accept(data: bytes) -> object:
    return accept_answer(
        data,
        ISSUED.state,
        ENROLLER,
        name="enroller.example",
        valid_days=30,
        now_ms=NOW_MS,
        allow_software_tpm=True,
    )


def _resigned_answer(attest: bytes) -> object:
    """An attestation that the AK signed, whatever it says."""
    answer = decode_file(ANSWER, Answer)
    quote = msgspec.structs.replace(answer.quote, attest=attest, signature=sign(AK, attest))
    return _accept(encode_file(msgspec.structs.replace(answer, quote=quote)))


def _counter(attest: bytes) -> object:
    counter = msgspec.structs.replace(
        counter_evidence(NODE), attest=attest, signature=sign(AK, attest)
    )
    return check_request(encode_file(request_of(NODE, enrolment_key(EK), counter=counter)), NOW_MS)


def _certified(data: bytes) -> object:
    certificate_facts(data)
    return check_certificate(data, parse_key(EK.public), AUTHORITIES, NOW)


def _succession(attest: bytes) -> object:
    link = SuccessorLink(ak_public(OTHER_AK), attest, sign(AK, attest))
    return check_succession(parse_tpmt(ak_public()), link, LOG_ID)


def _successor(public: bytes) -> object:
    link = SuccessorLink(public, CERTIFY, sign(AK, CERTIFY))
    return check_succession(parse_tpmt(ak_public()), link, LOG_ID)


TARGETS: Mapping[str, Target] = {
    "enrol-request": Target(lambda data: decode_file(data, Request), [REQUEST]),
    "enrol-request-judged": Target(lambda data: issue_challenge(data, POLICY, NOW_MS), [REQUEST]),
    "enrol-challenge": Target(lambda data: decode_file(data, Challenge), [ISSUED.challenge]),
    "enrol-answer": Target(lambda data: decode_file(data, Answer), [ANSWER]),
    "enrol-answer-judged": Target(_accept, [ANSWER]),
    "enrol-answer-attest": Target(_resigned_answer, [decode_file(ANSWER, Answer).quote.attest]),
    "enrol-counter": Target(_counter, [counter_evidence(NODE).attest]),
    "enrol-state": Target(pending_state, [encode_state(ISSUED.state)]),
    "ek-certificate": Target(_certified, [CERTIFICATE]),
    "authorities": Target(
        lambda data: read_authorities({"root.pem": ROOT.pem, "a.crt": data}),
        [ROOT.der, ISSUER.pem, ROOT.pem + ISSUER.pem],
    ),
    "make-credential": Target(_credential, [ek.public for ek in EKS]),
    "nv-counter": Target(lambda data: check_counter(parse_nv_public(data)), [COUNTER_PUBLIC]),
    "succession": Target(_succession, [CERTIFY]),
    "successor": Target(_successor, [ak_public(OTHER_AK)]),
    "signature": Target(tpmt_to_der, [der_to_tpmt(sign(AK, b"message"))]),
    "signature-der": Target(der_to_tpmt, [sign(AK, b"message")]),
}
