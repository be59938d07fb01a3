"""The body of ``POST …/api/v1/witness/batch``, taken apart (docs/protocol.md 5.1)."""

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.relay.answers import Code
from swt3_agent.relay.elements import list_decoder
from swt3_agent.relay.request import SubmitRequest

REQUEST_ID = "http"
_MOST_BESIDE = 64 * 1024
"""Bytes of the members that are passed over."""


class _Body(msgspec.Struct):
    witnesses: msgspec.Raw = msgspec.Raw(b"null")


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def parse_body(body: bytes, max_records: int) -> SubmitRequest:
    """The batch in a body. Members beside ``witnesses`` are passed over, repeated ones refused.

    The largest body takes a tenth of a second, in steps that let other threads in between.
    Memory is bounded whatever the body holds.

    Raises FormatError: INVALID_REQUEST, TOO_LARGE.
    """
    try:
        if not body.isascii():
            body.decode()  # the decoder passes over raw values without looking at their encoding
        witnesses: msgspec.Raw = _decode_body(body).witnesses
        if len(body) - len(bytes(witnesses)) > _MOST_BESIDE:
            raise _refused(
                Code.INVALID_REQUEST, "there is too much beside the witnesses, or they come twice"
            )
        payloads = list_decoder(max_records)(witnesses)
        members: dict[str, msgspec.Raw] = _decode_members(body)
    except MALFORMED as error:
        raise _refused(
            Code.INVALID_REQUEST, f"not an object with a list of witnesses: {error}"
        ) from error
    if len(payloads) > max_records:
        raise _refused(Code.TOO_LARGE, f"more than {max_records} records in one request")
    colons = [payload.count(b":") for payload in payloads]
    others = sum(bytes(raw).count(b":") for name, raw in members.items() if name != "witnesses")
    names = sum(1 + name.count(":") for name in members)
    if body.count(b":") != sum(colons) + others + names:
        raise _refused(Code.INVALID_REQUEST, "a member of the body is there twice")
    escaped = b"\\" in body and b"\\u003" in body
    return SubmitRequest(REQUEST_ID, None, payloads, colons, escaped)


def _refused(code: Code, fault: str) -> FormatError:
    return FormatError(code.value, fault, remedy='send {"witnesses":[…]}, in parts if it is large')
