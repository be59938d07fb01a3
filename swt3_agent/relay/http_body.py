"""The body of ``POST …/api/v1/witness/batch``, taken apart (docs/protocol.md 5.1)."""

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.relay.answers import Code
from swt3_agent.relay.request import SubmitRequest

REQUEST_ID = "http"

_decode_body = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


def parse_body(body: bytes, max_records: int) -> SubmitRequest:
    """The batch in a body. Members beside ``witnesses`` are passed over, repeated ones refused.

    The largest body takes a tenth of a second, in steps that let other threads in between.

    Raises FormatError: INVALID_REQUEST, TOO_LARGE.
    """
    try:
        if not body.isascii():
            body.decode()  # the decoder passes over raw values without looking at their encoding
        members: dict[str, msgspec.Raw] = _decode_body(body)
        witnesses: list[msgspec.Raw] = _decode_list(members.get("witnesses", msgspec.Raw(b"null")))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(
            Code.INVALID_REQUEST, f"not an object with a list of witnesses: {error}"
        ) from error
    if len(witnesses) > max_records:
        raise _refused(
            Code.TOO_LARGE, f"{len(witnesses)} records in one request, {max_records} at most"
        )
    payloads = [bytes(witness) for witness in witnesses]
    colons = [payload.count(b":") for payload in payloads]
    others = sum(bytes(raw).count(b":") for name, raw in members.items() if name != "witnesses")
    names = sum(1 + name.count(":") for name in members)
    if body.count(b":") != sum(colons) + others + names:
        raise _refused(Code.INVALID_REQUEST, "a member of the body is there twice")
    escaped = b"\\" in body and b"\\u003" in body
    return SubmitRequest(REQUEST_ID, None, payloads, colons, escaped)


def _refused(code: Code, fault: str) -> FormatError:
    return FormatError(code.value, fault, remedy='send {"witnesses":[…]}, in parts if it is large')
