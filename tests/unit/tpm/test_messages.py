import socket
import struct
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.tpm.messages import (
    MAX_BODY,
    MAX_FRAME,
    Challenge,
    ExtendAndQuote,
    Open,
    QuoteHead,
    ReadClock,
    ReadPcrs,
    Request,
    receive_frame,
    send_frame,
)

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    "request_",
    [
        Open("swtpm:path=/x", "/keys", 13, (0, 13), b"\x00ak", True),
        Open(None, "/keys", 13, (13,)),
        ReadPcrs((0, 23)),
        ExtendAndQuote(b"\x00body"),
        QuoteHead(b"body", bytes(32)),
        Challenge(b"\xffnonce"),
        ReadClock(),
    ],
)
def test_every_request_arrives_as_it_was_sent(pair: Pair, request_: Request) -> None:
    send_frame(pair[0], msgspec.msgpack.encode(request_))
    assert msgspec.msgpack.decode(receive_frame(pair[1]), type=Request) == request_


def test_the_longest_note_fits_into_a_frame() -> None:
    assert len(msgspec.msgpack.encode(QuoteHead(bytes(MAX_BODY), bytes(32)))) <= MAX_FRAME


def test_a_frame_over_the_limit_is_refused_before_it_is_read(pair: Pair) -> None:
    pair[0].sendall(struct.pack(">I", MAX_FRAME + 1))
    with pytest.raises(ValueError, match="at most"):
        receive_frame(pair[1])


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\x05four"])
def test_a_frame_cut_short_is_the_end(pair: Pair, sent: bytes) -> None:
    pair[0].sendall(sent)
    pair[0].close()
    with pytest.raises(EOFError):
        receive_frame(pair[1])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    try:
        request = msgspec.msgpack.decode(data, type=Request)
    except msgspec.DecodeError:
        return
    assert isinstance(request, msgspec.Struct)


def test_unknown_fields_are_refused() -> None:
    encoded = msgspec.msgpack.encode({"type": "ReadClock", "more": 1})
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(encoded, type=Request)
