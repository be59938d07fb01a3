"""Whatever a stranger writes into a request or an answer: a refusal, or what it says, and no other
end."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.enrolment import Answer, Request, encode_file
from swt3_agent.verify.enrolment import Policy, accept_answer, issue_challenge, read_authorities
from tests.support.enrolment import (
    NOW_MS,
    Vendor,
    answer_to,
    counter_evidence,
    enrolment_key,
    paper_ek,
    request_of,
)
from tests.support.forge import ENROLLER, PaperNode

ROOT = Vendor()
NODE = PaperNode(counter=3)
KINDS = ("rsa2048", "ecc256", "ecc384")
TRUSTED = Policy(read_authorities({"root.pem": ROOT.pem}), None)
REQUEST = request_of(
    NODE,
    *(enrolment_key(paper_ek(kind), ROOT.certify(paper_ek(kind))) for kind in KINDS),
    counter=counter_evidence(NODE),
)
ISSUED = issue_challenge(encode_file(REQUEST), TRUSTED, NOW_MS)
ANSWER = answer_to(ISSUED.challenge, paper_ek(ISSUED.endorsement.template), NODE)


@st.composite
def mangled(draw: st.DrawFn, data: bytes) -> bytes:
    """``data`` cut, lengthened, or with some bytes changed."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        match draw(st.integers(0, 2)):
            case 0:
                del changed[draw(st.integers(0, len(changed))) :]
            case 1:
                changed += draw(st.binary(max_size=20))
            case _ if changed:
                changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
    return bytes(changed) or b"\0"


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """``REQUEST`` with one binary field mangled."""
    replace = msgspec.structs.replace
    counter, keys = REQUEST.counter, list(REQUEST.endorsement_keys)
    assert counter is not None
    match draw(st.sampled_from(["ak", "public", "certificate", "head", "nv", "attest", "sign"])):
        case "ak":
            return replace(REQUEST, ak_public=draw(mangled(REQUEST.ak_public)))
        case "public" | "certificate" as name:
            at = draw(st.integers(0, len(keys) - 1))
            keys[at] = replace(keys[at], **{name: draw(mangled(getattr(keys[at], name)))})
            return replace(REQUEST, endorsement_keys=keys)
        case "head":
            text = draw(mangled(REQUEST.head.checkpoint.encode())).decode("utf-8", "replace")
            return replace(REQUEST, head=replace(REQUEST.head, checkpoint=text))
        case name:
            field = {"nv": "public", "attest": "attest", "sign": "signature"}[name]
            value = draw(mangled(getattr(counter, field)))
            return replace(REQUEST, counter=replace(counter, **{field: value}))


@settings(max_examples=300, deadline=None)
@given(requests())
def test_a_request_is_refused_or_challenged(request: Request) -> None:
    try:
        issued = issue_challenge(encode_file(request), TRUSTED, NOW_MS)
    except FormatError:
        return
    assert issued.checked.ak.tpmt == REQUEST.ak_public
    assert issued.endorsement.certified is not None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_an_answer_is_refused_unless_it_is_the_one(data: st.DataObject) -> None:
    answer = msgspec.json.decode(ANSWER, type=Answer)
    name = data.draw(st.sampled_from(["attest", "signature"]))
    value = data.draw(mangled(getattr(answer.quote, name)))
    changed = msgspec.structs.replace(
        answer, quote=msgspec.structs.replace(answer.quote, **{name: value})
    )
    try:
        accept_answer(
            encode_file(changed),
            ISSUED.state,
            ENROLLER,
            name="enroller.example",
            valid_days=1,
            now_ms=NOW_MS,
            allow_software_tpm=False,
        )
    except FormatError:
        accepted = False
    else:
        accepted = True
    assert accepted is (changed == answer)
