"""What the records of the counter say, each held against the head that it is tied to.

docs/formats.md, "Counter". A certificate counts only over a note that the same key quoted, and
after it did: else root could keep certificates for a second log in a drawer.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from swt3_agent.protocol.record import Record
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.tcg.attest import Attest, parse_attest
from swt3_agent.tcg.ecdsa import has_signed
from swt3_agent.tcg.nv_public import COUNTER_SIZE, NvPublic, check_counter, parse_nv_public
from swt3_agent.verify.bundle.heads import QuotedHead
from swt3_agent.verify.refusal import refusal

Phase = Literal["before", "after"]
_Seq = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Value = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Index = Annotated[str, Meta(pattern=r"\A01[0-9a-f]{6}\Z")]


@dataclass(frozen=True, slots=True)
class Intent:
    """A step to ``value`` that record ``seq`` announces."""

    seq: int
    value: int
    index: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """That the counter ``public`` stood at ``value``: a claim, until verified over its head."""

    seq: int
    phase: Phase
    intent: int
    head: int
    value: int
    public: NvPublic
    attest: bytes
    signature: bytes


class _Intent(msgspec.Struct):
    value: _Value
    index: _Index


class _Certificate(msgspec.Struct):
    phase: Phase
    intent: _Seq
    head: _Seq
    value: _Value
    public: bytes
    attest: bytes
    signature: bytes


def read_intent(record: Record) -> Intent:
    """A counter-intent record. Raises FormatError ``RECORD_CONTENT``."""
    try:
        read = msgspec.json.decode(record.payload, type=_Intent)
    except MALFORMED as error:
        raise _unreadable(record, error) from None
    return Intent(record.seq, read.value, int(read.index, 16))


def read_certificate(record: Record) -> Certificate:
    """A counter-cert record over the public area of a counter.

    Raises FormatError ``RECORD_CONTENT``, ``NV_PUBLIC_*`` or ``COUNTER_INDEX_*``.
    """
    try:
        read = msgspec.json.decode(record.payload, type=_Certificate)
    except MALFORMED as error:
        raise _unreadable(record, error) from None
    public = parse_nv_public(read.public)
    check_counter(public)
    return Certificate(
        record.seq,
        read.phase,
        read.intent,
        read.head,
        read.value,
        public,
        read.attest,
        read.signature,
    )


def verify_certificate(certificate: Certificate, head: QuotedHead | None) -> Attest:
    """What the TPM said, if it said so over ``head``, after quoting it, in the same run.

    Raises FormatError ``COUNTER_UNQUOTED``, ``COUNTER_SIGNATURE``, ``ATTEST_*``, ``COUNTER_TYPE``,
    ``COUNTER_NAME`` or ``COUNTER_VALUE``.
    """
    seq = certificate.seq
    if head is None:
        raise refusal("COUNTER_UNQUOTED", f"certificate {seq} is over a note that nobody quoted")
    if not has_signed(head.key, certificate.attest, certificate.signature):
        raise refusal("COUNTER_SIGNATURE", f"the head's key did not sign certificate {seq}")
    attest = parse_attest(certificate.attest)
    nv = attest.nv
    if nv is None:
        raise refusal("COUNTER_TYPE", f"certificate {seq} is not one of an NV index")
    quoted = head.attest
    if attest.extra_data != head.note.digest():
        raise refusal("COUNTER_UNQUOTED", f"certificate {seq} is over another note than it names")
    if attest.reset_count != quoted.reset_count or attest.clock_ms < quoted.clock_ms:
        raise refusal(
            "COUNTER_UNQUOTED", f"certificate {seq} was not made after the quote of its note"
        )
    if nv.name != certificate.public.name():
        raise refusal("COUNTER_NAME", f"certificate {seq} is of another index than it shows")
    stated = certificate.value.to_bytes(COUNTER_SIZE, "big")
    if (nv.offset, nv.contents) != (0, stated):
        raise refusal("COUNTER_VALUE", f"certificate {seq} does not certify {certificate.value}")
    return attest


def _unreadable(record: Record, error: Exception) -> Exception:
    return refusal(
        "RECORD_CONTENT",
        f"record {record.seq} is no {record.kind.label}: {str(error)[:200]}",
    )
