"""Checkpoint notes: docs/formats.md, "Checkpoint note"."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.checkpoint import (
    LOG_PCRS,
    QUOTED_PCRS,
    CheckpointNote,
    QuoteSignature,
    extended,
    node_id,
    note_key_id,
    parse_body,
    parse_quote_signature,
    parse_signed_note,
    qualifying_data,
    quoted_pcrs,
    signed_note,
)

VECTORS_DIR = Path(__file__).parents[2] / "vectors"
VECTORS = json.loads((VECTORS_DIR / "notes.json").read_text())

numbers = st.integers(0, 2**64 - 1)
hashes = st.binary(min_size=32, max_size=32)
notes = st.builds(
    CheckpointNote,
    node_id=st.text("0123456789abcdef", min_size=32, max_size=32),
    log_id=st.text("0123456789abcdef", min_size=16, max_size=64),
    size=numbers,
    root=hashes,
    utc_ms=numbers,
    boot_id=st.uuids().map(str),
    previous=hashes,
    counter=numbers,
)


def example() -> CheckpointNote:
    return parse_body(VECTORS["notes"][0]["body"].encode())


@pytest.mark.parametrize("vector", VECTORS["notes"], ids=lambda vector: vector["name"])
def test_notes_match_the_published_vectors(vector: dict[str, Any]) -> None:
    note = CheckpointNote(
        node_id=vector["node_id"],
        log_id=vector["log_id"],
        size=vector["size"],
        root=bytes.fromhex(vector["root"]),
        utc_ms=vector["utc_ms"],
        boot_id=vector["boot_id"],
        previous=bytes.fromhex(vector["previous"]),
        counter=vector["counter"],
    )
    body = note.body()
    assert body.decode() == vector["body"]
    assert note.digest().hex() == vector["digest"]
    assert qualifying_data(body).hex() == vector["qualifying_data"]
    before = bytes.fromhex(vector["log_pcr_before"])
    assert extended(before, body).hex() == vector["log_pcr_after"]
    spki, attest, der = (
        bytes.fromhex(vector[name]) for name in ("spki", "attest", "signature_der")
    )
    signed = signed_note(body, attest, der, spki)
    assert signed.decode() == vector["signed_note"]
    read = parse_signed_note(signed)
    assert (read.body, read.note) == (body, note)
    line = read.signature_of(spki)
    assert line is not None
    assert line.key_id.hex() == vector["key_id"]
    assert parse_quote_signature(line.signature) == QuoteSignature(attest, der)


def test_the_log_register_after_an_extend_is_what_a_tpm_computed() -> None:
    quoted = json.loads((VECTORS_DIR / "tcg" / "software_tpm.json").read_text())["quote"]["pcrs"]
    assert extended(bytes(32), b"13").hex() == quoted["13"]


def test_a_node_is_named_by_its_machine_id() -> None:
    assert node_id(VECTORS["machine_id"] + "\n") == VECTORS["node_id"]


@pytest.mark.parametrize("text", ["", "uninitialized\n", "AB" * 16, "ab" * 17])
def test_a_text_that_is_no_machine_id_names_no_node(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        node_id(text)
    assert caught.value.code == "MACHINE_ID"


@given(notes)
def test_notes_are_read_back(note: CheckpointNote) -> None:
    assert parse_body(note.body()) == note
    assert note.digest() == sha256(note.body()).digest()


@given(notes, st.data())
def test_a_changed_bit_is_another_note_or_none(note: CheckpointNote, data: st.DataObject) -> None:
    body = bytearray(note.body())
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    body[bit // 8] ^= 1 << bit % 8
    try:
        read = parse_body(bytes(body))
    except FormatError as error:
        assert error.code == "NOTE_BODY"  # noqa: PT017  # refusing is one of two right answers
    else:
        assert read != note
        assert read.body() == bytes(body)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n3\n", "\n03\n"),
        ("\n3\n", "\n+3\n"),
        ("\n3\n", "\n3.0\n"),
        ("\n3\n", f"\n{2**64}\n"),
        ("\n3\n", "\n٣\n"),
        ("t=", "T="),
        ("t=", " t="),
        (" boot=", "  boot="),
        ("boot=", "boot= "),
        ("ctr=0", "ctr="),
        ("ctr=0", "ctr=0 extra=1"),
        ("ctr=0", "ctr=-1"),
        ("ctr=0\n", "ctr=0"),
        ("ctr=0\n", "ctr=0\nmore\n"),
        ("ctr=0\n", "ctr=0\r\n"),
        ("swt3-agent/", "swt3-agent//"),
        ("AAA=", "AAB="),
        ("AAA=", "AA=="),
    ],
)
def test_a_note_has_one_spelling(old: str, new: str) -> None:
    body = example().body().decode()
    assert old in body
    with pytest.raises(FormatError) as caught:
        parse_body(body.replace(old, new, 1).encode())
    assert caught.value.code == "NOTE_BODY"


def test_a_note_without_signature_lines_is_unsigned() -> None:
    body = example().body()
    assert parse_signed_note(body).signatures == ()
    with pytest.raises(FormatError):
        parse_signed_note(body + b"\n")


def test_only_a_checkpoint_is_signed_as_one() -> None:
    with pytest.raises(FormatError) as caught:
        signed_note(b"pay to the bearer\n", b"attest", b"der", b"spki")
    assert caught.value.code == "NOTE_BODY"


def test_a_line_of_another_key_or_name_is_not_this_keys() -> None:
    note = example()
    signed = signed_note(note.body(), b"attest", b"der", b"spki")
    assert parse_signed_note(signed).signature_of(b"another") is None
    renamed = signed.replace(f"— {note.origin} ".encode(), "— other ".encode())
    assert parse_signed_note(renamed).signature_of(b"spki") is None
    assert note_key_id("other", b"spki") != note_key_id(note.origin, b"spki")


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\x00",
        b"\x00\x01",
        b"\x00\x01a",
        b"\x00\x01a\x00",
        b"\x00\x01a\x00\x00",
        b"\x00\x00\x00\x01b",
        b"\x00\x01a\x00\x02b",
        b"\x00\x01a\x00\x01bc",
        b"\xff\xffa\x00\x01b",
    ],
)
def test_a_signature_that_is_no_pair_is_refused(blob: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse_quote_signature(blob)
    assert caught.value.code == "NOTE_SIGNATURE_FORMAT"


def test_a_checkpoint_is_no_challenge() -> None:
    assert len(qualifying_data(b"any")) == 32


@given(notes, st.sampled_from(["size", "utc_ms", "counter"]))
def test_each_number_is_bound(note: CheckpointNote, field: str) -> None:
    other = replace(note, **{field: getattr(note, field) ^ 1})
    assert qualifying_data(other.body()) != qualifying_data(note.body())


def test_the_quoted_registers_are_pinned() -> None:
    assert QUOTED_PCRS == (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14)
    assert quoted_pcrs(15) == (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15)


@pytest.mark.parametrize("index", sorted(set(range(-1, 26)) - LOG_PCRS))
def test_a_register_that_root_resets_or_firmware_writes_holds_no_log(index: int) -> None:
    with pytest.raises(FormatError) as caught:
        quoted_pcrs(index)
    assert caught.value.code == "LOG_PCR"
