"""Requests, cut out of a stream of bytes and taken apart (docs/formats.md, "Intake")."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec

from swt3_agent.protocol.fingerprint import MAX_SAFE_INTEGER
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.relay.answers import UNKNOWN_ID, Code, Refusal
from swt3_agent.relay.elements import bounded_list, elements
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.sentinel_request import OPERATIONS, SentinelRequest, parse_sentinel_request

_LONGEST_ID = 128
_LONGEST_CLIENT = 64
_LARGE_LINE = 64 * 1024
_LINE_OVERHEAD = 64
"""Bytes that a waiting line costs besides its content: an empty one is not free."""


class Broken(Enum):
    """Stands in the place of a line that cannot be had."""

    TOO_LONG = "too long"
    UNFINISHED = "unfinished"


class LineSplitter:
    """Feed it what arrives; ``take`` complete lines.

    A line longer than ``max_bytes`` is not kept: ``Broken.TOO_LONG`` stands for it as soon as that
    is known, and the rest of it is passed over. So a splitter holds at most one unfinished line of
    ``max_bytes`` and whatever is not taken.
    """

    __slots__ = (
        "_max_bytes",
        "_partial",
        "_skipping",
        "lines",
        "unfinished_bytes",
        "waiting_bytes",
    )

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._partial: list[bytes] = []
        self._skipping = False
        self.lines: deque[bytes | Broken] = deque()
        self.waiting_bytes = 0
        self.unfinished_bytes = 0

    @property
    def inside_line(self) -> bool:
        """Whether a line has begun and not ended, be it kept or passed over."""
        return self._skipping or self.unfinished_bytes > 0

    @property
    def held_bytes(self) -> int:
        """What all of it costs: complete lines and the unfinished one."""
        return self.waiting_bytes + self.unfinished_bytes

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        first, *others = data.split(b"\n")
        self._extend(first)
        if not others:
            return
        self._finish()
        *whole, last = others
        if len(data) <= self._max_bytes:  # so is each line: all at once, for there may be many
            self.lines.extend(whole)
            self.waiting_bytes += sum(map(len, whole)) + _LINE_OVERHEAD * len(whole)
        else:
            for piece in whole:
                self._extend(piece)
                self._finish()
        self._extend(last)

    def end(self) -> None:
        """No more will come: an unfinished line is replaced by ``Broken.UNFINISHED``."""
        if self.unfinished_bytes:
            self.lines.append(Broken.UNFINISHED)
        self._forget_unfinished()
        self._skipping = False

    def take(self) -> bytes | Broken:
        """The next line, without its newline. Raises IndexError where ``lines`` is empty."""
        line = self.lines.popleft()
        if isinstance(line, bytes):
            self.waiting_bytes -= len(line) + _LINE_OVERHEAD
        return line

    def drop(self) -> None:
        """Forget everything that was not taken."""
        self.lines.clear()
        self.waiting_bytes = 0
        self._forget_unfinished()
        self._skipping = False

    def _extend(self, piece: bytes) -> None:
        if self._skipping or not piece:
            return
        self._partial.append(piece)
        self.unfinished_bytes += len(piece)
        if self.unfinished_bytes > self._max_bytes:
            self._forget_unfinished()
            self._skipping = True
            self.lines.append(Broken.TOO_LONG)

    def _finish(self) -> None:
        if self._skipping:
            self._skipping = False
            return
        line = b"".join(self._partial)
        self._forget_unfinished()
        self.lines.append(line)
        self.waiting_bytes += len(line) + _LINE_OVERHEAD

    def _forget_unfinished(self) -> None:
        self._partial = []
        self.unfinished_bytes = 0


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """A ``submit``. ``batch_key`` is (client, batch), None where the producer gave neither.

    ``payloads`` are the witnesses exactly as they came, none of them looked at yet but known to be
    UTF-8. ``colons`` is how many ``:`` bytes each of them has, and ``escaped_colons`` whether
    there may be more of them, written as escapes.
    """

    request_id: str
    batch_key: tuple[str, int] | None
    payloads: list[bytes]
    colons: list[int]
    escaped_colons: bool


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


@lru_cache(maxsize=8)
def _large_envelope_decoder(max_records: int) -> Callable[[bytes], Any]:
    """Decodes the same, however many records it is said to have."""
    fields: list[Any] = [
        ("op", str),
        ("id", str),
        ("witnesses", bounded_list(max_records)),
        ("client", str | None, None),
        ("batch", int | None, None),
    ]
    return msgspec.json.Decoder(msgspec.defstruct("LargeEnvelope", fields)).decode


_decode_names = msgspec.json.Decoder(_Names).decode
_decode_text = msgspec.json.Decoder(str).decode


def parse_request(line: bytes, limits: IntakeLimits) -> SubmitRequest | SentinelRequest | Refusal:
    """The request that ``line`` is, or the answer that refuses it.

    A repeated or unknown key of the envelope is refused; the witnesses are judged one by one
    later, so that a bad one does not take its batch with it.
    """
    try:
        if not line.isascii():
            line.decode()  # the decoder passes over raw values without looking at their encoding
        if len(line) > _LARGE_LINE:
            envelope = _large_envelope_decoder(limits.max_records)(line)
            payloads = elements(envelope.witnesses)
        else:
            envelope = _decode_envelope(line)
            payloads = list(map(bytes, envelope.witnesses))
    except MALFORMED as error:
        return _no_submission(line, str(error))
    request_id = envelope.id
    if not _is_name(request_id, _LONGEST_ID):
        return _invalid(UNKNOWN_ID, f"id is not a text of 1 to {_LONGEST_ID} printable characters")
    if envelope.op != "submit":
        return _other_request(line, request_id, envelope.op)
    if len(payloads) > limits.max_records:
        return Refusal(
            request_id, Code.TOO_LARGE, f"more than {limits.max_records} records in one request"
        )
    colons = [payload.count(b":") for payload in payloads]
    if line.count(b":") - sum(colons) != _envelope_colons(line, envelope):
        return _invalid(
            request_id, "a key is repeated, null, or none of op, id, client, batch, witnesses"
        )
    escaped = b"\\" in line and b"\\u003" in line
    client, batch = envelope.client, envelope.batch
    if client is None and batch is None:
        return SubmitRequest(request_id, None, payloads, colons, escaped)
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
    return SubmitRequest(request_id, (client, batch), payloads, colons, escaped)


def _envelope_colons(line: bytes, envelope: _Envelope) -> int:
    """How many ``:`` bytes the line has beside its witnesses, if no key is repeated or unknown."""
    keys = 3 + (envelope.client is not None) + (envelope.batch is not None)
    if ":" not in envelope.id and ":" not in (envelope.client or ""):
        return keys
    names: _Names = _decode_names(line)  # as written: an escaped colon is no ``:`` byte
    return keys + bytes(names.id).count(b":") + bytes(names.client).count(b":")


def _is_name(text: str, longest: int) -> bool:
    return 1 <= len(text) <= longest and text.isprintable()


def _no_submission(line: bytes, fault: str) -> SentinelRequest | Refusal:
    """What a line is that is no well-formed submit: nearly always a sentinel client's request."""
    try:
        names: _Names = _decode_names(line)
    except MALFORMED:
        return _invalid(UNKNOWN_ID, f"not a request: {fault}")
    request_id = _text(names.id)
    if not _is_name(request_id, _LONGEST_ID):
        request_id = UNKNOWN_ID
    op = _text(names.op)
    if op not in ("", "submit"):
        return _other_request(line, request_id, op)
    return _invalid(request_id, f"not a submit request: {fault}")


def _text(raw: msgspec.Raw) -> str:
    try:
        text: str = _decode_text(raw)
    except MALFORMED:
        return ""
    return text


def _invalid(request_id: str, fault: str) -> Refusal:
    return Refusal(request_id, Code.INVALID_REQUEST, fault)


def _other_request(line: bytes, request_id: str, op: str) -> SentinelRequest | Refusal:
    if op not in OPERATIONS:
        known = ", ".join(("submit", *OPERATIONS))
        return Refusal(
            request_id, Code.UNKNOWN_OP, f"op {op!a} is not known here; send one of {known}"
        )
    if request_id == UNKNOWN_ID:
        return _invalid(UNKNOWN_ID, f"id is not a text of 1 to {_LONGEST_ID} printable characters")
    try:
        return parse_sentinel_request(line)
    except MALFORMED as error:
        return _invalid(request_id, f"not a {op} request: {error}")
