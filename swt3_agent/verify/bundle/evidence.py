"""Evidence records that tell of the boot, and what they were read from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from swt3_agent.protocol.pcr_values import pcrs_from
from swt3_agent.protocol.record import Record
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.tcg.attest import Attest, parse_attest
from swt3_agent.tcg.ecdsa import has_signed
from swt3_agent.tcg.pcr import composite_digest, sha256_selection
from swt3_agent.tcg.public import EccPublic
from swt3_agent.verify.refusal import refusal

MAX_QUOTE = 64 * 1024
CHALLENGE_SIZES = range(8, 32)  # 32 bytes belong to checkpoints
_Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Hex = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{2})*\Z")]
_PcrIndex = Annotated[str, Meta(pattern=r"\A(?:[0-9]|1[0-9]|2[0-3])\Z")]


@dataclass(frozen=True, slots=True)
class Reading:
    """An evidence record with attachments: digests in hex by name. ``ima_offset`` is where its part
    of the IMA log begins in the whole."""

    seq: int
    attachments: Mapping[str, str]
    ima_offset: int = 0


@dataclass(frozen=True, slots=True)
class PlatformQuote:
    """A quote of the platform that holds: what it says, and the registers that it covers."""

    attest: Attest
    pcrs: Mapping[int, bytes]


class _Attachment(msgspec.Struct):
    digest: _Digest


class _ImaLog(msgspec.Struct):
    offset: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0


class _Stated(msgspec.Struct):
    ima_log: _ImaLog | None = None


class _Evidence(msgspec.Struct):
    attachments: dict[str, _Attachment] = {}
    stated: _Stated | None = None


class _Quote(msgspec.Struct):
    nonce: _Hex
    attest: bytes
    signature: bytes
    pcrs: dict[_PcrIndex, _Digest]
    ak_name: _Hex


def read_evidence(record: Record) -> Reading | None:
    """The attachments that an evidence record names; None where it names none."""
    try:
        read = msgspec.json.decode(record.payload, type=_Evidence)
    except MALFORMED:  # of another make: nothing rests on it
        return None
    if not read.attachments:
        return None
    ima = read.stated.ima_log if read.stated is not None else None
    digests = {name: attached.digest for name, attached in read.attachments.items()}
    return Reading(record.seq, digests, 0 if ima is None else ima.offset)


def verify_quote(data: bytes, keys: Sequence[EccPublic]) -> PlatformQuote:
    """The quote in an attachment, if one of ``keys`` made it over the registers it gives.

    Raises FormatError ``BOOT_QUOTE_FORM``, ``BOOT_QUOTE_KEY``, ``BOOT_QUOTE_SIGNATURE``,
    ``BOOT_QUOTE_NONCE``, ``BOOT_QUOTE_PCRS``, ``ATTEST_*`` or ``PCR_*``.
    """
    try:
        read = msgspec.json.decode(data[:MAX_QUOTE], type=_Quote)
    except MALFORMED as error:
        raise refusal(
            "BOOT_QUOTE_FORM", f"a quote of the platform cannot be read: {str(error)[:200]}"
        ) from None
    key = next((key for key in keys if key.name().hex() == read.ak_name), None)
    if key is None:
        raise refusal("BOOT_QUOTE_KEY", "a quote of the platform names a key that is none of these")
    if not has_signed(key, read.attest, read.signature):
        raise refusal("BOOT_QUOTE_SIGNATURE", "the AK did not sign a quote of the platform")
    attest = parse_attest(read.attest)
    nonce = bytes.fromhex(read.nonce)
    if attest.quote is None or attest.extra_data != nonce or len(nonce) not in CHALLENGE_SIZES:
        raise refusal("BOOT_QUOTE_NONCE", "a quote of the platform does not answer its challenge")
    pcrs = pcrs_from(read.pcrs)
    selection = sha256_selection(pcrs)
    if attest.quote.selection != selection:
        raise refusal("BOOT_QUOTE_PCRS", "a quote of the platform covers other registers")
    if attest.quote.digest != composite_digest(pcrs, selection):
        raise refusal("BOOT_QUOTE_PCRS", "a quote of the platform covers other values")
    return PlatformQuote(attest, pcrs)
