"""Receipts files: one spelling, signed, and bounded."""

from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.receipts import (
    ReceiptStatement,
    encode_receipts,
    parse_receipts,
    parse_receipts_body,
)

KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"importer").digest())
STATEMENT = ReceiptStatement(
    importer="importer.example",
    importer_key=KEY.public_key().public_bytes_raw(),
    node_id="ab" * 16,
    log_id="cd" * 16,
    manifest="ef" * 32,
    first=10,
    end=30,
    root=bytes(32),
    accepted=18,
    time_ms=1_785_000_000_000,
    refused=((12, "BAD_FINGERPRINT"), (29, "UNKNOWN_PROCEDURE")),
)


def signed(statement: ReceiptStatement) -> bytes:
    return encode_receipts(statement, KEY.sign(statement.body()))


def test_what_was_written_is_read() -> None:
    receipts = parse_receipts(signed(STATEMENT))
    assert receipts.statement == STATEMENT
    KEY.public_key().verify(receipts.signature.signature, receipts.body)


@pytest.mark.parametrize(
    "changes",
    [
        {"importer": "two words"},
        {"node_id": "AB" * 16},
        {"refused": ((9, "TOO_EARLY"),)},
        {"refused": ((30, "TOO_LATE"),)},
        {"refused": ((12, "A"), (11, "B"))},
        {"refused": ((12, "A"), (12, "B"))},
        {"refused": ((12, "no code"),)},
        {"accepted": -1},
        {"manifest": "ef"},
    ],
)
def test_a_statement_that_does_not_fit_is_not_written(changes: dict[str, object]) -> None:
    with pytest.raises(FormatError) as refused:
        signed(replace(STATEMENT, **changes))  # type: ignore[arg-type]  # a test names its fields
    assert refused.value.code == "RECEIPTS_BODY"


def test_more_refusals_than_a_note_holds_are_refused() -> None:
    refusals = tuple((seq, "BAD_FINGERPRINT") for seq in range(10_000))
    with pytest.raises(FormatError) as refused:
        signed(replace(STATEMENT, first=0, end=10_000, refused=refusals))
    assert refused.value.code in {"RECEIPTS_TOO_LARGE", "RECEIPTS_BODY"}


def test_another_format_is_named() -> None:
    with pytest.raises(FormatError) as refused:
        parse_receipts_body(b"swt3-agent/receipts/2\n")
    assert refused.value.code == "RECEIPTS_FORMAT_UNKNOWN"


@pytest.mark.parametrize("change", [(b"importer importer.example", b"importer somebody.else")])
def test_the_signer_is_who_the_text_names(change: tuple[bytes, bytes]) -> None:
    with pytest.raises(FormatError) as refused:
        parse_receipts(signed(STATEMENT).replace(*change, 1))
    assert refused.value.code == "RECEIPTS_SIGNER"


@given(st.data())
def test_any_change_is_refused_or_changes_what_is_signed(data: st.DataObject) -> None:
    file = bytearray(signed(STATEMENT))
    place = data.draw(st.integers(0, 8 * len(file) - 1))
    file[place // 8] ^= 1 << place % 8
    try:
        receipts = parse_receipts(bytes(file))
    except FormatError:
        return
    original = parse_receipts(signed(STATEMENT))
    assert (receipts.body, receipts.signature) != (original.body, original.signature)
