"""MakeCredential against endorsement keys of paper, and known answers for other implementations."""

import json
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.tcg.make_credential import check_ek, make_credential
from swt3_agent.tcg.public import parse_key
from tests.support.enrolment import PaperEk, UnopenedError, paper_ek

KINDS = ("rsa2048", "ecc256", "ecc384")
NAME = b"\x00\x0b" + bytes(range(32))
VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "tcg" / "credentials.json").read_text()
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("secret", [b"", b"x", bytes(range(32))], ids=len)
def test_the_tpm_of_the_ek_opens_it_beside_that_name(kind: str, secret: bytes) -> None:
    ek = paper_ek(kind)
    made = make_credential(parse_key(ek.public), NAME, secret)
    assert ek.activate(made.id_object, made.encrypted_secret, NAME) == secret


@pytest.mark.parametrize("kind", KINDS)
def test_no_credential_is_made_twice(kind: str) -> None:
    public = parse_key(paper_ek(kind).public)
    first, second = (make_credential(public, NAME, b"secret") for _ in range(2))
    assert first.id_object != second.id_object
    assert first.encrypted_secret != second.encrypted_secret


@pytest.mark.parametrize("kind", KINDS)
def test_neither_another_name_nor_another_tpm_opens_it(kind: str) -> None:
    ek = paper_ek(kind)
    made = make_credential(parse_key(ek.public), NAME, b"secret")
    with pytest.raises(UnopenedError):
        ek.activate(made.id_object, made.encrypted_secret, NAME[:-1] + b"\xff")
    other = paper_ek("ecc256 of another TPM")
    challenged = paper_ek("ecc256")
    made = make_credential(parse_key(challenged.public), NAME, b"secret")
    with pytest.raises(UnopenedError):
        other.activate(made.id_object, made.encrypted_secret, NAME)


@settings(max_examples=30)
@given(st.data())
def test_a_changed_bit_is_noticed(data: st.DataObject) -> None:
    ek = paper_ek("ecc256")
    made = make_credential(parse_key(ek.public), NAME, b"secret")
    changed = bytearray(made.id_object)
    bit = data.draw(st.integers(16, len(changed) * 8 - 1))  # behind the size of the integrity
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(UnopenedError):
        ek.activate(bytes(changed), made.encrypted_secret, NAME)


@pytest.mark.parametrize("vector", VECTORS["credentials"], ids=lambda vector: vector["template"])
def test_known_answers(vector: dict[str, str]) -> None:
    key = load_pem_private_key(vector["ek_private"].encode(), None)
    public = parse_key(bytes.fromhex(vector["ek_public"]))
    name, secret = bytes.fromhex(vector["name"]), bytes.fromhex(vector["secret"])
    id_object = bytes.fromhex(vector["id_object"])
    if "seed" in vector:
        made = make_credential(public, name, secret, seed=bytes.fromhex(vector["seed"]))
    else:
        curve = ec.SECP256R1() if vector["template"] == "ecc256" else ec.SECP384R1()
        ephemeral = ec.derive_private_key(int(vector["ephemeral"], 16), curve)
        made = make_credential(public, name, secret, ephemeral=ephemeral)
        assert made.encrypted_secret.hex() == vector["encrypted_secret"]
    assert made.id_object == id_object
    paper = PaperEk(key)  # type: ignore[arg-type]  # RSA or EC, as the vectors say
    encrypted_secret = bytes.fromhex(vector["encrypted_secret"])
    assert paper.activate(id_object, encrypted_secret, name) == secret


def test_a_secret_longer_than_a_digest_is_refused() -> None:
    with pytest.raises(ValueError, match="33 bytes"):
        make_credential(parse_key(paper_ek("ecc256").public), NAME, bytes(33))


@pytest.mark.parametrize("bit", [1, 4, 5, 16, 17], ids=lambda bit: f"without bit {bit}")
@pytest.mark.parametrize("kind", ["rsa2048", "ecc384"])
def test_a_key_without_an_attribute_of_an_ek_is_refused(kind: str, bit: int) -> None:
    refused(PaperEk(paper_ek(kind).key, 0x000300B2 & ~(1 << bit)).public, "EK_ATTRIBUTES")


def test_a_key_that_signs_is_no_ek() -> None:
    refused(PaperEk(paper_ek("ecc256").key, 0x000300B2 | 1 << 18).public, "EK_ATTRIBUTES")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (struct.pack(">HHH", 6, 128, 0x43), struct.pack(">HHH", 6, 192, 0x43)),
        (struct.pack(">HHH", 6, 128, 0x43), struct.pack(">HHH", 6, 128, 0x42)),
        (struct.pack(">HHH", 6, 128, 0x43), struct.pack(">HHH", 0x13, 128, 0x43)),
        (struct.pack(">HHH", 6, 128, 0x43), struct.pack(">H", 0x10)),
        (struct.pack(">HH", 0x23, 0x0B), struct.pack(">HH", 0x23, 0x04)),
    ],
    ids=["AES-192", "CBC", "SM4", "no cipher", "SHA-1"],
)
def test_algorithms_of_no_template_are_refused(old: bytes, new: bytes) -> None:
    public = paper_ek("ecc256").public
    assert old in public
    refused(public.replace(old, new, 1), "EK_ALGORITHM")


def refused(public: bytes, code: str) -> None:
    for check in (check_ek, lambda key: make_credential(key, NAME, b"secret")):
        with pytest.raises(FormatError) as caught:
            check(parse_key(public))
        assert caught.value.code == code
