"""One request line, taken apart (docs/formats.md, "Intake")."""

from dataclasses import dataclass

import msgspec

from swt3_agent.protocol.fingerprint import MAX_SAFE_INTEGER
from swt3_agent.relay.answers import UNKNOWN_ID, Code, Refusal
from swt3_agent.relay.limits import IntakeLimits

_LONGEST_ID = 128
_LONGEST_CLIENT = 64


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """A ``submit``. ``batch_key`` is (client, batch), None where the producer gave neither.

    ``payloads`` are the witnesses exactly as they came, none of them looked at yet; ``colons`` is
    how many ``:`` bytes each of them has.
    """

    request_id: str
    batch_key: tuple[str, int] | None
    payloads: list[bytes]
    colons: list[int]


_ABSENT = msgspec.Raw()


class _Envelope(msgspec.Struct):
    op: msgspec.Raw = _ABSENT
    id: msgspec.Raw = _ABSENT
    client: msgspec.Raw = _ABSENT
    batch: msgspec.Raw = _ABSENT
    witnesses: list[msgspec.Raw] | None = None


class _LooseEnvelope(msgspec.Struct):
    id: msgspec.Raw = _ABSENT


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_loosely = msgspec.json.Decoder(_LooseEnvelope).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_count = msgspec.json.Decoder(int).decode


def parse_request(line: bytes, limits: IntakeLimits) -> SubmitRequest | Refusal:
    """The request that ``line`` is, or the answer that refuses it.

    A repeated or unknown key of the envelope is refused; the witnesses are judged one by one
    later, so that a bad one does not take its batch with it.
    """
    try:
        if not line.isascii():
            line.decode()  # the decoder passes over raw values without looking at their encoding
        envelope: _Envelope = _decode_envelope(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Refusal(_readable_id(line), Code.INVALID_REQUEST, f"not a request: {error}")
    request_id = _text(envelope.id, _LONGEST_ID)
    op = _text(envelope.op, _LONGEST_ID)
    if request_id is None or op is None:
        missing = "id" if request_id is None else "op"
        return Refusal(
            request_id or UNKNOWN_ID,
            Code.INVALID_REQUEST,
            f"{missing} is not a text of 1 to {_LONGEST_ID} printable characters",
        )
    if op != "submit":
        return Refusal(request_id, Code.UNKNOWN_OP, f"op {op!a} is not known here; send submit")
    return _submit(line, envelope, request_id, limits)


def _submit(
    line: bytes, envelope: _Envelope, request_id: str, limits: IntakeLimits
) -> SubmitRequest | Refusal:
    if envelope.witnesses is None:
        return Refusal(request_id, Code.INVALID_REQUEST, "witnesses is missing")
    if len(envelope.witnesses) > limits.max_records:
        return Refusal(
            request_id,
            Code.TOO_LARGE,
            f"{len(envelope.witnesses)} records in one request, {limits.max_records} at most",
        )
    payloads = list(map(bytes, envelope.witnesses))
    colons = [payload.count(b":") for payload in payloads]
    if line.count(b":") != _envelope_colons(envelope) + sum(colons):
        return Refusal(
            request_id,
            Code.INVALID_REQUEST,
            "a key is repeated, or is none of op, id, client, batch, witnesses",
        )
    if not envelope.client and not envelope.batch:
        return SubmitRequest(request_id, None, payloads, colons)
    client = _text(envelope.client, _LONGEST_CLIENT)
    batch = _count(envelope.batch)
    if client is None or batch is None:
        return Refusal(
            request_id,
            Code.INVALID_REQUEST,
            f"client (1 to {_LONGEST_CLIENT} printable characters) and batch (an integer from 0 "
            "to 2^53 - 1) go together",
        )
    return SubmitRequest(request_id, (client, batch), payloads, colons)


def _envelope_colons(envelope: _Envelope) -> int:
    """How many ``:`` bytes the line has beside its witnesses, if no key is repeated or unknown."""
    values = [
        bytes(raw) for raw in (envelope.op, envelope.id, envelope.client, envelope.batch) if raw
    ]
    return 1 + len(values) + b"".join(values).count(b":")


def _text(raw: msgspec.Raw, longest: int) -> str | None:
    try:
        text: str = _decode_text(raw)
    except msgspec.MsgspecError:
        return None
    return text if 1 <= len(text) <= longest and text.isprintable() else None


def _count(raw: msgspec.Raw) -> int | None:
    try:
        count: int = _decode_count(raw)
    except msgspec.MsgspecError:
        return None
    return count if 0 <= count <= MAX_SAFE_INTEGER else None


def _readable_id(line: bytes) -> str:
    """The id of a line that is no request, so that its sender can tell which one it was."""
    try:
        return _text(_decode_loosely(line).id, _LONGEST_ID) or UNKNOWN_ID
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return UNKNOWN_ID
