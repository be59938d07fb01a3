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


class _Envelope(msgspec.Struct):
    """What nearly every request is."""

    op: str
    id: str
    witnesses: list[msgspec.Raw]
    client: str | None = None
    batch: int | None = None


class _Names(msgspec.Struct):
    """The texts of a request as they were written, whatever they are."""

    op: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()
    client: msgspec.Raw = msgspec.Raw()


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_names = msgspec.json.Decoder(_Names).decode
_decode_text = msgspec.json.Decoder(str).decode


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
        return _refusal_of_malformed(line, str(error))
    request_id = envelope.id
    if not _is_name(request_id, _LONGEST_ID):
        return _invalid(UNKNOWN_ID, f"id is not a text of 1 to {_LONGEST_ID} printable characters")
    if envelope.op != "submit":
        return _unknown_op(request_id, envelope.op)
    if len(envelope.witnesses) > limits.max_records:
        return Refusal(
            request_id,
            Code.TOO_LARGE,
            f"{len(envelope.witnesses)} records in one request, {limits.max_records} at most",
        )
    payloads = list(map(bytes, envelope.witnesses))
    colons = [payload.count(b":") for payload in payloads]
    if line.count(b":") - sum(colons) != _envelope_colons(line, envelope):
        return _invalid(
            request_id, "a key is repeated, null, or none of op, id, client, batch, witnesses"
        )
    client, batch = envelope.client, envelope.batch
    if client is None and batch is None:
        return SubmitRequest(request_id, None, payloads, colons)
    if (
        client is None
        or batch is None
        or not _is_name(client, _LONGEST_CLIENT)
        or not 0 <= batch <= MAX_SAFE_INTEGER
    ):
        return _invalid(
            request_id,
            f"client (1 to {_LONGEST_CLIENT} printable characters) and batch (an integer from 0 "
            "to 2^53 - 1) go together",
        )
    return SubmitRequest(request_id, (client, batch), payloads, colons)


def _envelope_colons(line: bytes, envelope: _Envelope) -> int:
    """How many ``:`` bytes the line has beside its witnesses, if no key is repeated or unknown."""
    keys = 3 + (envelope.client is not None) + (envelope.batch is not None)
    if ":" not in envelope.id and ":" not in (envelope.client or ""):
        return keys
    names: _Names = _decode_names(line)  # as written: an escaped colon is no ``:`` byte
    return keys + bytes(names.id).count(b":") + bytes(names.client).count(b":")


def _is_name(text: str, longest: int) -> bool:
    return 1 <= len(text) <= longest and text.isprintable()


def _refusal_of_malformed(line: bytes, fault: str) -> Refusal:
    try:
        names: _Names = _decode_names(line)
    except (msgspec.MsgspecError, RecursionError):
        return _invalid(UNKNOWN_ID, f"not a request: {fault}")
    request_id = _text(names.id)
    if not _is_name(request_id, _LONGEST_ID):
        request_id = UNKNOWN_ID
    op = _text(names.op)
    if op not in ("", "submit"):
        return _unknown_op(request_id, op)
    return _invalid(request_id, f"not a submit request: {fault}")


def _text(raw: msgspec.Raw) -> str:
    try:
        text: str = _decode_text(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return text


def _invalid(request_id: str, fault: str) -> Refusal:
    return Refusal(request_id, Code.INVALID_REQUEST, fault)


def _unknown_op(request_id: str, op: str) -> Refusal:
    return Refusal(request_id, Code.UNKNOWN_OP, f"op {op!a} is not known here; send submit")
