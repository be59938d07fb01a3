"""The custody log: docs/formats.md, "Custody"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.custodian import (
    generate_custodian,
    read_custodian_key,
    read_recipient,
)
from swt3_agent.protocol.custody import CustodyEntry, commitment, withheld
from swt3_agent.protocol.custody_file import (
    FRAME_HEAD,
    FrameCipher,
    FrameType,
    decode_entries,
    encode_entry,
    open_data_key,
    read_header,
    seal_header,
)

_entries = st.builds(
    CustodyEntry,
    tenant=st.text(max_size=20),
    secret=st.binary(min_size=32, max_size=32),
    original=st.binary(max_size=200),
    cleared=st.binary(max_size=20),
    level=st.integers(0, 3),
)


def _header(*public: bytes, data_key: bytes = b"k" * 32) -> bytes:
    return seal_header(
        [read_recipient(pem) for pem in public],
        data_key,
        file_id=b"f" * 16,
        created_ms=1,
        node_id="node",
        log_id="log",
    )


@given(st.lists(_entries, max_size=5))
def test_entries_come_back_as_they_went_in(entries: list[CustodyEntry]) -> None:
    kept = decode_entries(b"".join(map(encode_entry, entries)))
    assert [(k.tenant, k.secret, k.original, k.level) for k in kept] == [
        (e.tenant, e.secret, e.original, e.level) for e in entries
    ]


@given(entry=_entries, cut=st.integers(1, 60))
def test_a_cut_entry_is_refused(entry: CustodyEntry, cut: int) -> None:
    with pytest.raises(FormatError) as raised:
        decode_entries(encode_entry(entry)[:-cut])
    assert raised.value.code == "CUSTODY_ENTRY"


def test_a_commitment_is_keyed_anew_for_each_record() -> None:
    first, second = (withheld("LOCAL", b"original", b"cleared", 3) for _ in range(2))
    assert commitment(first.secret, b"original") != commitment(second.secret, b"original")
    assert (  # RFC 4231, test case 2
        commitment(b"Jefe", b"what do ya want for nothing?")
        == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


def test_neither_secret_nor_content_is_in_a_repr() -> None:
    entry = withheld("LOCAL", b"the original", b"the rest", 3)
    assert "original" not in repr(entry)
    assert repr(entry.secret)[2:-1] not in repr(entry)


@pytest.mark.parametrize("hybrid", [False, True])
def test_every_recipient_and_nobody_else_opens_the_data_key(hybrid: bool) -> None:
    pairs = [generate_custodian(hybrid=hybrid), generate_custodian()]
    header = read_header(_header(*(public for _, public in pairs)))
    for private, _ in pairs:
        assert open_data_key(header, read_custodian_key(private)) == b"k" * 32
    stranger, _ = generate_custodian(hybrid=hybrid)
    with pytest.raises(FormatError) as raised:
        open_data_key(header, read_custodian_key(stranger))
    assert raised.value.code == "CUSTODY_NOT_FOR_THIS_KEY"


def test_a_sealed_key_cannot_be_moved_to_another_file() -> None:
    private, public = generate_custodian()
    moved = _header(public).replace((b"f" * 16).hex().encode(), (b"g" * 16).hex().encode())
    with pytest.raises(FormatError) as raised:
        open_data_key(read_header(moved), read_custodian_key(private))
    assert raised.value.code == "CUSTODY_SEAL"


@pytest.mark.parametrize(
    "change",
    [
        {"number": 1},
        {"kind": FrameType.END},
        {"kind": 7},
        {"header": b"another"},
        {"flip": 0},
    ],
)
def test_a_frame_is_bound_to_its_file_place_and_type(change: dict[str, object]) -> None:
    frame = FrameCipher(b"k" * 32, b"header").encrypt(0, FrameType.ENTRIES, b"content")
    ciphertext = bytearray(frame[FRAME_HEAD.size :])
    if "flip" in change:
        ciphertext[0] ^= 1
    header = change.get("header", b"header")
    kind = change.get("kind", FrameType.ENTRIES)
    number = change.get("number", 0)
    assert isinstance(header, bytes)
    assert isinstance(kind, int)
    assert isinstance(number, int)
    with pytest.raises(FormatError) as raised:
        FrameCipher(b"k" * 32, header).decrypt(number, kind, bytes(ciphertext))
    assert raised.value.code == "CUSTODY_FRAME"


@pytest.mark.parametrize("header", [b"", b"{}", b"[1]", b'{"file":"zz"}', b"\xff"])
def test_a_header_of_another_form_is_refused(header: bytes) -> None:
    with pytest.raises(FormatError) as raised:
        read_header(header)
    assert raised.value.code == "CUSTODY_HEADER"


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"no key",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        generate_custodian()[0],
        generate_custodian()[1] * 2,
        b"x" * 20_000,
    ],
)
def test_what_is_no_public_key_of_a_custodian_is_refused_without_quoting_it(pem: bytes) -> None:
    with pytest.raises(FormatError) as raised:
        read_recipient(pem)
    assert raised.value.code == "CUSTODIAN_KEY"
    secret = pem.splitlines()[1].decode() if b"PRIVATE" in pem else "no key"
    assert secret not in raised.value.message


def test_a_key_under_a_passphrase_is_refused() -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    pem = X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    with pytest.raises(FormatError, match="passphrase"):
        read_custodian_key(pem)
