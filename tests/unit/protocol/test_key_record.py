import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError, UsageError
from swt3_agent.protocol.key_record import (
    Certification,
    KeyEvent,
    KeyRecord,
    checked_reason,
    encode_key_record,
    parse_key_record,
)

BY = {"uid": 0, "gid": 0, "user": "root"}
RECORDS = [
    KeyRecord(KeyEvent.CREATED, b"\x00\x0bname", b"public", "tpm"),
    KeyRecord(
        KeyEvent.ROTATED,
        b"\x00\x0bname",
        b"public",
        "software-tpm",
        Certification(b"\x00\x0bold", b"attest", b"signature"),
        by=BY,
        reason="yearly",
    ),
    KeyRecord(
        KeyEvent.REPLACED, b"\x00\x0bname", b"public", "tpm", None, "TPM_KEY_CLEARED", BY, "why"
    ),
    KeyRecord(KeyEvent.RETIRED, b"\x00\x0bname", by=BY, reason="rotated"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.event.value)
def test_a_record_is_read_as_it_was_written(record: KeyRecord) -> None:
    assert parse_key_record(encode_key_record(record)) == record


def test_the_first_record_of_earlier_versions_is_read() -> None:
    payload = b'{"ak_public":"cHVibGlj","event":"created","kind":"tpm","name":"000b6e616d65"}'
    assert parse_key_record(payload) == RECORDS[0]
    assert encode_key_record(RECORDS[0]) == payload


def test_members_that_are_not_known_are_ignored() -> None:
    payload = json.loads(encode_key_record(RECORDS[1])) | {"more": [1]}
    assert parse_key_record(json.dumps(payload).encode()) == RECORDS[1]


@pytest.mark.parametrize(
    "change",
    [
        {"event": "forgotten"},
        {"event": None},
        {"ak_public": None},
        {"ak_public": "not Base 64"},
        {"name": "xy"},
        {"attest": "===="},
        {"event": "retired"},
        {"certified_by": 7},
    ],
)
def test_what_is_no_record_of_a_key_is_refused(change: dict[str, object]) -> None:
    payload = json.loads(encode_key_record(RECORDS[1])) | change
    with pytest.raises(FormatError) as caught:
        parse_key_record(json.dumps(payload).encode())
    assert caught.value.code == "KEY_RECORD"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_format_error(payload: bytes) -> None:
    with pytest.raises(FormatError):
        parse_key_record(payload)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\nb", "\x1b[2J"])
def test_a_reason_says_something_on_one_line(reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked_reason(reason)
    assert caught.value.code == "KEY_REASON"
    assert checked_reason(" yearly ") == "yearly"
