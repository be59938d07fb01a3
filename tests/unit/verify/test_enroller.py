"""Signing a trust file: docs/formats.md, "Trust file"."""

import pytest

from swt3_agent.errors import FormatError
from swt3_agent.protocol.note import parse_note
from swt3_agent.protocol.trust import parse_trust
from swt3_agent.verify import enroller_public_key, sign_trust
from tests.support.forge import ENROLLER, OTHER_ENROLLER, statement


def test_a_signed_trust_file_is_an_ed25519_note() -> None:
    body = statement().body()
    data = sign_trust(body, ENROLLER)
    text, (line,) = parse_note(data)
    assert text == body
    ENROLLER.public_key().verify(line.signature, body)
    assert parse_trust(data).statement.enroller_key == enroller_public_key(ENROLLER)


def test_a_key_signs_only_what_names_it() -> None:
    with pytest.raises(FormatError) as caught:
        sign_trust(statement().body(), OTHER_ENROLLER)
    assert caught.value.code == "TRUST_SIGNER"


@pytest.mark.parametrize("body", [b"", b"pay to the bearer\n", statement().body() + b"more\n"])
def test_only_a_trust_statement_is_signed(body: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        sign_trust(body, ENROLLER)
    assert caught.value.code in {"TRUST_BODY", "TRUST_FORMAT_UNKNOWN"}
