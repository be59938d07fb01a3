"""What a request proves by itself: AK, head and counter."""

import struct
from dataclasses import replace

import msgspec
import pytest

from swt3_agent.errors import FormatError
from swt3_agent.protocol.checkpoint import signed_note
from swt3_agent.protocol.enrolment import HeadEvidence, Request, encode_file
from swt3_agent.verify.enrolment import CheckedRequest, check_request
from tests.support.enrolment import (
    COUNTER_PUBLIC,
    NOW_MS,
    OWNER,
    counter_evidence,
    enrolment_key,
    paper_ek,
    qualified,
    request_of,
)
from tests.support.forge import AK, OTHER_AK, SIGN, PaperNode, Quote, ak_public, sign, spki

KEY = enrolment_key(paper_ek("ecc256"))
NODE = PaperNode(counter=3)


def check(request: Request, now_ms: int = NOW_MS) -> CheckedRequest:
    return check_request(encode_file(request), now_ms)


def refused(code: str, request: Request, now_ms: int = NOW_MS) -> None:
    with pytest.raises(FormatError) as caught:
        check(request, now_ms)
    assert caught.value.code == code, caught.value.message


def test_a_request_gives_the_floors_of_its_head() -> None:
    checked = check(request_of(NODE, KEY))
    floors = checked.floors()
    assert (floors.size, floors.root) == (7, NODE.note().root)
    assert (floors.clock_ms, floors.resets, floors.counter) == (5_000_000, 7, 3)
    assert checked.counter is None


def test_a_request_gives_the_counter_that_its_ak_certified() -> None:
    checked = check(request_of(NODE, KEY, counter=counter_evidence(NODE)))
    assert checked.counter is not None
    assert checked.counter.index == 0x01800053


def test_the_key_must_be_an_attestation_key() -> None:
    unrestricted = replace(NODE, public=ak_public(attributes=SIGN))
    refused("AK_NOT_RESTRICTED", request_of(unrestricted, KEY))
    refused("PUBLIC_TRAILING", request_of(replace(NODE, public=ak_public() + b"\x00"), KEY))


def test_the_head_must_be_this_nodes_and_logs() -> None:
    refused("ENROL_IDENTITY", request_of(NODE, KEY, node_id="ef" * 16))
    refused("ENROL_IDENTITY", request_of(NODE, KEY, log_id="ef" * 16))


def test_the_head_must_be_signed_by_the_key() -> None:
    refused("NOTE_KEY_ID", request_of(NODE, KEY, ak_public=ak_public(OTHER_AK)))
    refused("NOTE_SIGNATURE", request_of(NODE, KEY, head=head_of(signed_by_another(NODE))))
    refused("ENROL_UNSIGNED", request_of(NODE, KEY, head=head_of(NODE.note().body())))


def head_of(checkpoint: bytes) -> HeadEvidence:
    head = request_of(NODE, KEY).head
    return msgspec.structs.replace(head, checkpoint=checkpoint.decode())


def signed_by_another(node: PaperNode) -> bytes:
    """Under the key id of the node's own key."""
    body = node.note().body()
    attest = node.quote.attest(body, node.pcrs(body))
    return signed_note(body, attest, sign(OTHER_AK, attest), spki(AK))


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (replace(NODE, quote=Quote(extra=bytes(31))), "QUOTE_CHALLENGE"),
        (replace(NODE, quote=Quote(extra=bytes(32))), "QUOTE_OTHER_NOTE"),
        (replace(NODE, quote=Quote(digest=bytes(32))), "QUOTE_PCR_DIGEST"),
        (replace(NODE, extends=False), "LOG_PCR_REPLAY"),
        (replace(NODE, quote=Quote(magic=b"\xffTCH")), "ATTEST_MAGIC"),
        (replace(NODE, log_pcr=23), "LOG_PCR"),
    ],
    ids=["challenge", "other note", "registers", "not extended", "magic", "log PCR"],
)
def test_the_head_must_be_a_quote_of_itself(node: PaperNode, code: str) -> None:
    refused(code, request_of(node, KEY))


def test_a_key_outside_the_endorsement_hierarchy_is_refused() -> None:
    owners = replace(NODE, quote=Quote(signer=qualified(NODE.public, hierarchy=OWNER)))
    refused("ENROL_HIERARCHY", request_of(owners, KEY))
    elsewhere = b"\x00\x0b" + bytes(32)
    refused("ENROL_HIERARCHY", request_of(NODE, KEY, ak_parent=elsewhere.hex()))


def test_a_head_from_the_future_is_refused() -> None:
    refused("ENROL_FUTURE", request_of(NODE, KEY), NODE.utc_ms - 6 * 60 * 1000)
    check(request_of(NODE, KEY), NODE.utc_ms - 4 * 60 * 1000)


def test_a_head_of_long_ago_is_refused() -> None:
    """It would make the trust file vouch for that time too, in which the node can date anything."""
    month_ms = 30 * 24 * 60 * 60 * 1000
    refused("ENROL_STALE", request_of(NODE, KEY), NODE.utc_ms + month_ms + 1)
    check(request_of(NODE, KEY), NODE.utc_ms + month_ms)


def test_a_counter_may_take_a_step_while_the_request_is_made() -> None:
    counter = counter_evidence(NODE, value=struct.pack(">Q", 4))
    checked = check(request_of(NODE, KEY, counter=counter))
    assert checked.floors().counter == 3


ORDERLY = struct.pack(">IHI", 0x01800053, 0x000B, 0x26040014) + b"\x00\x00\x00\x08"


@pytest.mark.parametrize(
    ("evidence", "code"),
    [
        ({"public": ORDERLY}, "COUNTER_INDEX_ATTRIBUTES"),
        ({"public": COUNTER_PUBLIC[:-1]}, "NV_PUBLIC_TRUNCATED"),
        ({"key": OTHER_AK}, "ENROL_COUNTER_SIGNATURE"),
        ({"extra": bytes(32)}, "ENROL_COUNTER_OTHER"),
        ({"kind": 0x8017}, "ENROL_COUNTER_OTHER"),
        ({"certified": ORDERLY}, "ENROL_COUNTER_INDEX"),
        ({"value": bytes(4)}, "ENROL_COUNTER_INDEX"),
        ({"clock_ms": 4_999_999}, "ENROL_COUNTER_STALE"),
        ({"value": struct.pack(">Q", 2)}, "ENROL_COUNTER_VALUE"),
        ({"value": struct.pack(">Q", 5)}, "ENROL_COUNTER_VALUE"),
    ],
    ids=[
        "orderly index",
        "cut",
        "another key",
        "another head",
        "no NV certificate",
        "another index",
        "a part",
        "before the head",
        "below the head",
        "beyond the next step",
    ],
)
def test_a_counter_must_be_certified_by_the_key_after_the_head(
    evidence: dict[str, object], code: str
) -> None:
    counter = counter_evidence(NODE, **evidence)  # type: ignore[arg-type]  # one field each
    refused(code, request_of(NODE, KEY, counter=counter))
