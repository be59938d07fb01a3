"""C2SP signed notes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.note import (
    MAX_NOTE,
    MAX_SIGNATURES,
    NoteSignature,
    decode_base64,
    encode_base64,
    encode_note,
    key_id,
    parse_note,
)

# The example of the specification, https://c2sp.org/signed-note.
SPECIFICATION_EXAMPLE = """\
Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0\
xMcXxj99ihAQwaqP3ZekRwNtIc=
""".encode()

signatures = st.builds(
    NoteSignature,
    name=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1).filter(
        lambda name: "+" not in name
    ),
    key_id=st.binary(min_size=4, max_size=4),
    signature=st.binary(min_size=1, max_size=80),
)


def test_the_example_of_the_specification_is_read_and_written_back() -> None:
    text, lines = parse_note(SPECIFICATION_EXAMPLE)
    assert text.endswith("ed è subito sera.\n".encode())
    assert [(line.name, line.key_id.hex(), len(line.signature)) for line in lines] == [
        ("quasimodo.example/salvatore", "367ba04b", 64)
    ]
    assert encode_note(text, lines) == SPECIFICATION_EXAMPLE


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])), st.lists(signatures))
def test_notes_are_read_back(text: str, lines: list[NoteSignature]) -> None:
    lines = lines[:MAX_SIGNATURES] or [NoteSignature("a", b"1234", b"s")]
    body = text.encode() + b"\n"
    assert parse_note(encode_note(body, lines)) == (body, tuple(lines))


@given(st.binary(max_size=200) | st.text(alphabet="— a\nQUJDREU=+").map(str.encode))
def test_any_bytes_are_a_note_or_a_format_error(data: bytes) -> None:
    try:
        text, lines = parse_note(data)
    except FormatError as error:
        code = error.code
    else:
        code = "" if encode_note(text, lines) == data else "not canonical"
    assert code in {"", "NOTE_FORMAT"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n\xe2\x80\x94 name QUJDREU=",
        b"text\n\n- name QUJDREU=\n",
        b"text\n\n\xe2\x80\x94 QUJDREU=\n",
        b"text\n\n\xe2\x80\x94 two names QUJDREU=\n",
        b"text\n\n\xe2\x80\x94 na+me QUJDREU=\n",
        b"text\n\n\xe2\x80\x94 name QUJDRA==\n",
        b"text\n\n\xe2\x80\x94 name QUJDREV=\n",
        b"text\n\n\xe2\x80\x94 name QUJD*EU=\n",
        b"te\txt\n\n\xe2\x80\x94 name QUJDREU=\n",
        b"te\xffxt\n\n\xe2\x80\x94 name QUJDREU=\n",
        b"text\r\n\n\xe2\x80\x94 name QUJDREU=\n",
        b"text\n\n" + b"\xe2\x80\x94 name QUJDREU=\n" * (MAX_SIGNATURES + 1),
        b"t" * MAX_NOTE + b"\n\n\xe2\x80\x94 name QUJDREU=\n",
    ],
    ids=range(16),
)
def test_what_is_no_note_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse_note(data)
    assert caught.value.code == "NOTE_FORMAT"


def test_a_key_id_binds_name_type_and_key() -> None:
    ids = {
        key_id("a", b"\x01", bytes(32)),
        key_id("b", b"\x01", bytes(32)),
        key_id("a", b"\xff", bytes(32)),
        key_id("a", b"\x01", b"\x01" * 32),
    }
    assert len(ids) == 4
    assert {len(each) for each in ids} == {4}


@given(st.binary(max_size=50))
def test_base64_has_one_spelling(data: bytes) -> None:
    text = encode_base64(data)
    assert decode_base64(text) == data
    for other in (text + "\n", " " + text, text + "=", text.rstrip("=") + "é"):
        with pytest.raises(ValueError, match="Base 64"):
            decode_base64(other)
