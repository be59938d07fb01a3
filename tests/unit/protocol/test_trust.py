"""The trust file: docs/formats.md, "Trust file"."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.note import NoteSignature, encode_note, parse_note
from swt3_agent.protocol.trust import (
    Floors,
    TpmKind,
    TrustStatement,
    parse_trust,
    parse_trust_body,
)
from tests.support.forge import statement, trust_file

numbers = st.integers(0, 2**60)
hashes = st.binary(min_size=32, max_size=32)
floors = st.builds(
    Floors, size=numbers, root=hashes, clock_ms=numbers, resets=numbers, counter=numbers
)
first_statements = st.builds(
    TrustStatement,
    enroller=st.text(
        st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="+"),
        min_size=1,
        max_size=30,
    ),
    enroller_key=hashes,
    node_id=st.text("0123456789abcdef", min_size=32, max_size=32),
    log_id=st.text("0123456789abcdef", min_size=16, max_size=64),
    ak_public=st.binary(min_size=1, max_size=120),
    tpm=st.sampled_from(TpmKind),
    log_pcr=st.integers(0, 23),
    valid_from_ms=st.integers(0, 2**50),
    valid_until_ms=st.integers(2**50 + 1, 2**60),
    ek_sha256=st.none() | hashes,
    floors=st.none() | floors,
    revoked_ms=st.none() | numbers,
)
counters = st.none() | st.tuples(
    st.integers(0x01000000, 0x01FFFFFF), hashes.map(lambda digest: b"\x00\x0b" + digest)
)


@st.composite
def second_statements(draw: st.DrawFn) -> TrustStatement:
    certified = draw(st.booleans())
    index, name = draw(counters) or (None, None)
    return replace(
        draw(first_statements),
        ek_sha256=draw(hashes),
        ek_certified=certified,
        ek_root_sha256=draw(hashes) if certified else None,
        counter_index=index,
        counter_name=name,
    )


statements = first_statements | second_statements()


def code_of(body: bytes) -> str:
    with pytest.raises(FormatError) as caught:
        parse_trust_body(body)
    return caught.value.code


@given(statements)
def test_statements_are_read_back(each: TrustStatement) -> None:
    assert parse_trust_body(each.body()) == each


@given(statements, st.data())
def test_a_changed_bit_is_another_statement_or_none(
    each: TrustStatement, data: st.DataObject
) -> None:
    body = bytearray(each.body())
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    body[bit // 8] ^= 1 << bit % 8
    try:
        read = parse_trust_body(bytes(body))
    except FormatError as error:
        code = error.code
    else:
        code = "" if read != each and read.body() == bytes(body) else "not canonical"
    assert code in {"", "TRUST_BODY", "TRUST_FORMAT_UNKNOWN"}


def test_a_trust_file_names_its_signer_and_what_he_says() -> None:
    trust = parse_trust(trust_file())
    assert trust.statement == statement()
    assert trust.signature.name == "enroller.example"
    assert trust.body == statement().body()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tpm software", "tpm firmware"),
        ("log-pcr 13", "log-pcr 013"),
        ("log-pcr 13\n", ""),
        ("node ab", "node AB"),
        ("valid ", "valid  "),
        ("floor size=2", "floor size=02"),
        ("=\nnode", "\nnode"),
        ("ek sha256:", "ek sha512:"),
        ("resets=7", "resets=-7"),
    ],
)
def test_a_statement_has_one_spelling(old: str, new: str) -> None:
    body = statement().body().decode()
    assert old in body
    assert code_of(body.replace(old, new, 1).encode()) == "TRUST_BODY"


SECOND = statement(
    ek_certified=True,
    ek_root_sha256=bytes(32),
    counter_index=0x01800053,
    counter_name=b"\x00\x0b" + bytes(32),
)


def test_a_statement_that_says_how_the_ek_was_known_is_of_version_2() -> None:
    assert statement().body().startswith(b"swt3-agent/trust/1\n")
    assert SECOND.body().startswith(b"swt3-agent/trust/2\n")
    assert parse_trust_body(SECOND.body()) == SECOND


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" certified\n", "\n"),
        (" certified\n", " pinned\n"),
        (" certified\n", " believed\n"),
        ("ek-root sha256:" + "00" * 32 + "\n", ""),
        ("counter 01800053", "counter 1800053"),
        ("counter 01800053", "counter 81800053"),
        (" 000b00", " 000c00"),
        ("trust/2", "trust/1"),
    ],
)
def test_version_2_has_one_spelling(old: str, new: str) -> None:
    body = SECOND.body().decode()
    assert old in body
    assert code_of(body.replace(old, new, 1).encode()) == "TRUST_BODY"


@pytest.mark.parametrize("tail", ["\n", "more\n", "revoked 1\nrevoked 2\n", "revoked 1"])
def test_nothing_follows_a_statement(tail: str) -> None:
    assert code_of(statement().body() + tail.encode()) == "TRUST_BODY"


@pytest.mark.parametrize("body", [b"", b"swt3-agent/trust/3\n", b"\xff\n", b"swt3-agent/trust/1"])
def test_another_format_is_named_as_such(body: bytes) -> None:
    assert code_of(body) == "TRUST_FORMAT_UNKNOWN"


def test_a_statement_that_is_not_text_is_refused() -> None:
    assert code_of(b"swt3-agent/trust/1\n\xff\n") == "TRUST_BODY"


@pytest.mark.parametrize(
    "change",
    [
        {"enroller": "two words"},
        {"enroller": "a+b"},
        {"enroller": "a\nnode 00"},
        {"enroller_key": bytes(31)},
        {"ak_public": b""},
        {"valid_from_ms": 5, "valid_until_ms": 5},
        {"revoked_ms": -1},
        {"ek_root_sha256": bytes(32)},
        {"ek_certified": True},
        {"ek_certified": False, "ek_root_sha256": bytes(32)},
        {"ek_certified": False, "ek_sha256": None},
        {"counter_index": 0x01800053, "counter_name": b"\x00\x0b" + bytes(32)},
        {"ek_certified": False, "counter_index": 0x01800053},
        {"ek_certified": False, "counter_index": 0x81000001, "counter_name": bytes(34)},
    ],
    ids=str,
)
def test_what_does_not_fit_a_statement_is_not_written(change: dict[str, object]) -> None:
    with pytest.raises(FormatError) as caught:
        replace(statement(), **change).body()  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.code == "TRUST_BODY"


@pytest.mark.parametrize(
    "change", [{"name": "somebody"}, {"key_id": b"\x00\x01\x02\x03"}], ids=["name", "key"]
)
def test_another_signer_than_the_one_named_is_refused(change: dict[str, object]) -> None:
    body, (line,) = parse_note(trust_file())
    other = replace(line, **change)  # type: ignore[arg-type]
    with pytest.raises(FormatError) as caught:
        parse_trust(encode_note(body, [other]))
    assert caught.value.code == "TRUST_SIGNER"


def test_a_second_signature_line_is_refused() -> None:
    body, (line,) = parse_note(trust_file())
    with pytest.raises(FormatError) as caught:
        parse_trust(encode_note(body, [line, NoteSignature("b", b"1234", b"5")]))
    assert caught.value.code == "TRUST_SIGNER"
