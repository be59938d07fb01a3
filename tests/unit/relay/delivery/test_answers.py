"""From an answer to what follows: nothing is given up for an answer that was not understood."""

import json
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.relay.delivery.answers import (
    LONGEST_RETRY_AFTER_S,
    Keep,
    Refuse,
    Settled,
    Stop,
    decide,
    retry_after_s,
)
from swt3_agent.relay.delivery.batches import Item

NOW = datetime(2026, 3, 29, 16, 0, tzinfo=timezone.utc)
ITEMS = (
    Item(7, b"{}", "c059eb5938c0", "PASS"),
    Item(9, b"{}", "2e16e2fe92dd", None),
)


def token(item: Item, verdict: str = "PASS") -> str:
    return f"SWT3-E-VULTR-AI-AIINF1-{verdict}-1774800000-{item.fingerprint}"


def receipt(item: Item, **changes: object) -> dict[str, Any]:
    return {"ok": True, "verdict": "PASS", "swt3_anchor": token(item), **changes}


def body(*receipts: object) -> bytes:
    return json.dumps({"ok": True, "receipts": receipts}).encode()


def outcome(status: int, answer: bytes = b"", **headers: str) -> Settled | Keep | Stop | Refuse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return decide(status, named, answer, ITEMS, NOW)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_receipts_settle_records_by_their_place(status: int) -> None:
    settled = outcome(status, body(*map(receipt, ITEMS)))
    assert isinstance(settled, Settled)
    assert [(answer.seq, answer.ok, answer.token) for answer in settled.answers] == [
        (7, True, token(ITEMS[0])),
        (9, True, token(ITEMS[1])),
    ]
    assert {answer.differs for answer in settled.answers} == {None}


def test_a_receipt_that_says_no_refuses_that_record_with_its_reason() -> None:
    no = {"ok": False, "verdict": "FAIL", "swt3_anchor": "", "error": "stale timestamp"}
    settled = outcome(200, body(no, receipt(ITEMS[1], signature_verified=True)))
    assert isinstance(settled, Settled)
    refused, accepted = settled.answers
    assert (refused.ok, refused.error, refused.differs) == (False, "stale timestamp", None)
    assert (accepted.ok, accepted.signature_verified) == (True, True)


@pytest.mark.parametrize(
    ("error", "shown"), [(None, "the ledger gave no reason"), ({"code": 7}, '{"code":7}')]
)
def test_a_refusal_has_a_reason_in_words(error: object, shown: str) -> None:
    no = {"ok": False, "error": error}
    settled = outcome(200, body(no, receipt(ITEMS[1])))
    assert isinstance(settled, Settled)
    assert settled.answers[0].error == shown


@pytest.mark.parametrize("error", ["cut off \ud83d", {"\ud83d": ["\udc00"]}])
def test_a_reason_that_was_cut_in_the_middle_of_a_character_settles_all_the_same(
    error: object,
) -> None:
    """Else who can have a ledger say so could stop the lane."""
    settled = outcome(200, body({"ok": False, "error": error}, receipt(ITEMS[1])))
    assert isinstance(settled, Settled)
    refused, accepted = settled.answers
    assert refused.error in ("cut off ?", '{"?":["?"]}')
    assert accepted.token == token(ITEMS[1])


def test_a_verdict_that_is_not_ours_is_noted() -> None:
    judged = receipt(ITEMS[0], verdict="FAIL", swt3_anchor=token(ITEMS[0], "FAIL"))
    unruled = receipt(ITEMS[1], verdict="FAIL", swt3_anchor=token(ITEMS[1], "FAIL"))
    settled = outcome(200, body(judged, unruled))
    assert isinstance(settled, Settled)
    assert [answer.differs for answer in settled.answers] == ["PASS", None]


def test_a_record_that_the_ledger_queued_is_settled_without_a_token() -> None:
    queued = {"ok": True, "verdict": "QUEUED"}
    settled = outcome(202, body(queued, receipt(ITEMS[1], verdict="QUEUED")))
    assert isinstance(settled, Settled)
    assert [(answer.verdict, answer.token, answer.differs) for answer in settled.answers] == [
        ("QUEUED", None, None),
        ("QUEUED", token(ITEMS[1]), None),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        body(receipt(ITEMS[0])),
        body(*map(receipt, ITEMS), receipt(ITEMS[1])),
        body(receipt(ITEMS[1]), receipt(ITEMS[0])),
        body(receipt(ITEMS[0]), {"ok": True, "verdict": "PASS"}),
        body(receipt(ITEMS[0]), {"ok": False, "swt3_anchor": token(ITEMS[0])}),
        body(receipt(ITEMS[0]), receipt(ITEMS[1], swt3_anchor="x" + ITEMS[1].fingerprint)),
    ],
)
def test_receipts_of_other_records_settle_nothing(answer: bytes) -> None:
    kept = outcome(200, answer)
    assert isinstance(kept, Keep)
    assert kept.fault.code == "RECEIPT_MISMATCH"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"ok":true}',
        b'{"receipts":null}',
        b'{"receipts":[{"verdict":"PASS"}]}',
        b'{"receipts":[{"ok":"yes"}]}',
        b'{"receipts":' + b"[" * 100_000,
        b'{"receipts":["\xff"]}',
        body(receipt(ITEMS[0]))[:-5],
    ],
)
def test_a_good_status_with_a_bad_answer_keeps_everything(answer: bytes) -> None:
    kept = outcome(200, answer)
    assert isinstance(kept, Keep)
    assert kept.fault.code == "LEDGER_BAD_ANSWER"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (301, "LEDGER_REDIRECTS"),
        (302, "LEDGER_REDIRECTS"),
        (307, "LEDGER_REDIRECTS"),
        (404, "LEDGER_UNEXPECTED"),
        (408, "LEDGER_BUSY"),
        (409, "LEDGER_UNEXPECTED"),
        (425, "LEDGER_BUSY"),
        (429, "LEDGER_BUSY"),
        (500, "LEDGER_BUSY"),
        (503, "LEDGER_BUSY"),
        (599, "LEDGER_BUSY"),
    ],
)
def test_what_may_pass_is_tried_again(status: int, code: str) -> None:
    kept = outcome(status, b"later", retry_after="17")
    assert isinstance(kept, Keep)
    assert kept.fault.code == code
    assert kept.retry_after_s == (0 if code == "LEDGER_REDIRECTS" else 17)


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_accepted_stops_the_lane(status: int) -> None:
    stopped = outcome(status, b'{"error":"expired"}')
    assert isinstance(stopped, Stop)
    assert "expired" in stopped.fault.detail


@pytest.mark.parametrize(("status", "too_large"), [(400, False), (413, True), (422, False)])
def test_a_body_that_is_refused_is_to_be_taken_apart(status: int, too_large: bool) -> None:
    refused = outcome(status, b"no\x1b[31m such\nluck")
    assert isinstance(refused, Refuse)
    assert refused.too_large is too_large
    assert refused.fault.detail == f"the ledger answered {status}: no[31m such luck"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0),
        ("0", 0),
        (" 120 ", 120),
        ("99999999", LONGEST_RETRY_AFTER_S),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        ("Sun, 29 Mar 2026 16:02:00", 120),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=1), usegmt=True), LONGEST_RETRY_AFTER_S),
        ("Sun, 99 Mar 2026 16:02:00 GMT", 0),
    ],
)
def test_retry_after_is_read_in_both_forms_and_bounded(header: str, seconds: float) -> None:
    assert retry_after_s(header, NOW) == seconds


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
_receipts = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "ok": st.booleans() | _json,
            "verdict": st.sampled_from(["PASS", "FAIL", "QUEUED", "LAPSED"]) | _json,
            "swt3_anchor": st.sampled_from([token(item) for item in ITEMS]) | _json,
            "error": _json,
        },
    ),
    max_size=3,
)
_answers = st.binary(max_size=64) | st.builds(lambda receipts: body(*receipts), _receipts)


@given(status=st.integers(100, 999), answer=_answers, retry_after=st.text(max_size=40))
def test_no_answer_settles_a_record_that_it_does_not_name(
    status: int, answer: bytes, retry_after: str
) -> None:
    """Whatever comes has an outcome; what settles is 2xx, complete, and names the anchors."""
    result = outcome(status, answer, retry_after=retry_after)
    if isinstance(result, Keep):
        assert 0 <= result.retry_after_s <= LONGEST_RETRY_AFTER_S
    if not isinstance(result, Settled):
        return
    assert 200 <= status <= 299
    assert [answer.seq for answer in result.answers] == [item.seq for item in ITEMS]
    for item, settled in zip(ITEMS, result.answers, strict=True):
        if settled.ok and settled.verdict != "QUEUED":
            assert settled.token is not None
            assert settled.token.endswith(item.fingerprint)


@given(header=st.text(max_size=60))
def test_no_header_makes_the_wait_endless(header: str) -> None:
    assert 0 <= retry_after_s(header, NOW) <= LONGEST_RETRY_AFTER_S
