"""Envelopes of requests, as strangers may write them."""

import pytest

from swt3_agent.relay.answers import Code, Refusal
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.request import SubmitRequest, parse_request
from swt3_agent.relay.sentinel_request import Check, Flush, Record, Sign, Status, Tokens

LIMITS = IntakeLimits()


def _request(line: bytes) -> SubmitRequest:
    request = parse_request(line, LIMITS)
    assert isinstance(request, SubmitRequest), request
    return request


def _refusal(line: bytes) -> Refusal:
    refusal = parse_request(line, LIMITS)
    assert isinstance(refusal, Refusal)
    return refusal


def test_witnesses_keep_their_bytes() -> None:
    request = _request(b'{"op":"submit","id":"i","witnesses":[ {"a" : 1.0} ,"\xc3\xa9",2]}')
    assert request.payloads == [b'{"a" : 1.0}', b'"\xc3\xa9"', b"2"]
    assert request.colons == [1, 0, 0]


def test_colons_that_are_written_as_escapes_are_told() -> None:
    line = b'{"op":"submit","id":"i","witnesses":["%b"]}'
    assert not _request(line % b"a:b \\u0061").escaped_colons
    assert _request(line % b"a\\u003ab").escaped_colons
    assert _request(line % b"a\\u003Ab").escaped_colons


@pytest.mark.parametrize("name", ["urn:uuid:1", "a\\u003ab:c", ":"])
def test_names_may_hold_colons(name: str) -> None:
    text = name.replace("\\u003a", ":")
    written = name.encode()
    line = b'{"client":"%b","batch":0,"id":"%b","op":"submit","witnesses":[]}' % (written, written)
    request = _request(line)
    assert (request.request_id, request.batch_key) == (text, (text, 0))


@pytest.mark.parametrize(
    "repeated",
    [
        b'"id":"i"',
        b'"id":"\\u003a"',
        b'"op":"submit"',
        b'"client":"\\u003a:"',
        b'"batch":7',
        b'"witnesses":[1]',
        b'"witnesses":[":"]',
        b'"other":"\\u003a"',
        b'"other":{"a":[{"b":1}]}',
    ],
)
@pytest.mark.parametrize("name", [b"c", b":", b"\\u003a"])
def test_no_repeated_or_unknown_key_can_hide(repeated: bytes, name: bytes) -> None:
    members = b'"op":"submit","id":"i","client":"%b","batch":7,"witnesses":[1]' % name
    _request(b"{" + members + b"}")
    for line in (b"{%b,%b}" % (members, repeated), b"{%b,%b}" % (repeated, members)):
        assert _refusal(line).code is Code.INVALID_REQUEST


def test_the_id_of_a_bad_request_is_echoed_where_it_can_be_read() -> None:
    assert _refusal(b'{"op":"submit","id":"i"}').request_id == "i"
    assert _refusal(b'{"op":"submit","id":"i","witnesses":[],"x":1}').request_id == "i"
    assert _refusal(b'{"op":"submit","id":{},"witnesses":[]}').request_id == "?"
    assert _refusal(b'{"op":"submit","id":"i",').request_id == "?"


@pytest.mark.parametrize("line", [b'{"op":"delete","tool":"x","id":"1"}', b'{"op":"x:y","id":"1"}'])
def test_another_op_is_told_from_a_bad_request(line: bytes) -> None:
    refusal = _refusal(line)
    assert (refusal.request_id, refusal.code) == ("1", Code.UNKNOWN_OP)


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (b'{"op":"check","tool":"x","id":"1"}', Check("1", "x")),
        (b'{"op":"check","tool":"x","id":"1","witnesses":[],"new":{}}', Check("1", "x")),
        (b'{"op":"ch\\u0065ck","tool":"\xc3\xa9","id":"1"}', Check("1", "é")),
        (b'{"id":"1","op":"record","fingerprint":"f","payload":"{}"}', Record("1", "f", "{}")),
        (b'{"op":"sign","payload":"f","agentId":"a","id":"1"}', Sign("1", "f", "a")),
        (b'{"op":"sign","payload":"f","agentId":null,"id":"1"}', Sign("1", "f")),
        (b'{"op":"tokens","count":0,"id":"1"}', Tokens("1", 0)),
        (b'{"op":"flush","id":"1"}', Flush("1")),
        (b'{"op":"status","id":"1"}', Status("1")),
    ],
)
def test_the_operations_of_sentinel_clients_are_read(line: bytes, request_: object) -> None:
    assert parse_request(line, LIMITS) == request_


@pytest.mark.parametrize(
    "members",
    [
        b'"op":"check"',
        b'"op":"check","tool":7',
        b'"op":"check","tool":""',
        b'"op":"check","tool":"%b"' % (b"x" * 513),
        b'"op":"check","tool":"\xff"',
        b'"op":"record","fingerprint":"f","payload":{}',
        b'"op":"tokens","count":-1',
        b'"op":"tokens","count":true',
        b'"op":"tokens","count":1.5',
        b'"op":"tokens","count":9007199254740992',
        b'"op":"sign","payload":"f","agentId":7',
    ],
)
def test_a_sentinel_request_with_a_fault_is_invalid_and_keeps_its_id(members: bytes) -> None:
    refusal = _refusal(b'{"id":"1",%b}' % members)
    assert (refusal.request_id, refusal.code) == ("1", Code.INVALID_REQUEST)


@pytest.mark.parametrize("name", [b"7", b'""', b'"%b"' % (b"i" * 129), b"null"])
def test_without_a_usable_id_there_is_none_to_echo(name: bytes) -> None:
    refusal = _refusal(b'{"op":"status","id":%b}' % name)
    assert (refusal.request_id, refusal.code) == ("?", Code.INVALID_REQUEST)


@pytest.mark.parametrize("size", [1, 70_000])
def test_a_large_request_is_read_as_a_small_one(size: int) -> None:
    witness = b'{"a" : "%b"}' % (b"x" * size)
    head = b'{"op":"submit","id":"i","client":"c","batch":7,"witnesses":[%b, %b]'
    request = _request(head % (witness, witness) + b"}")
    assert request.payloads == [witness, witness]
    assert (request.batch_key, request.colons) == (("c", 7), [1, 1])
    assert _request(b'{"op":"submit","id":"i","witnesses":[%b]}' % witness).batch_key is None
    repeated = _refusal(head % (witness, witness) + b',"batch":8}')
    assert (repeated.request_id, repeated.code) == ("i", Code.INVALID_REQUEST)


def test_one_record_too_many_is_told_with_the_limit() -> None:
    line = b'{"op":"submit","id":"i","witnesses":[%b]}' % b",".join([b"1"] * 1001)
    refusal = _refusal(line)
    assert refusal.code is Code.TOO_LARGE
    assert "1000" in refusal.error
