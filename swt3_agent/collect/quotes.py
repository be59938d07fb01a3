"""Quotes for the platform collector: taken over a nonce of its own, verified before they count.

The TPM has one owner elsewhere; it is asked here through :class:`QuoteSource`.
"""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from swt3_agent.errors import FormatError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.pcr_values import pcrs_text
from swt3_agent.tcg.attest import Attest, AttestType, QuoteInfo, parse_attest
from swt3_agent.tcg.ecdsa import has_signed
from swt3_agent.tcg.pcr import composite_digest, sha256_selection
from swt3_agent.tcg.public import check_ak, parse_public

NONCE_SIZE = 20  # never 32: that length belongs to checkpoints (docs/formats.md)
_ATTEMPTS = 3  # an active IMA extends PCR 10 between the quote and the reading of the registers


class Identity(Protocol):
    """What the TPM says it is."""

    @property
    def kind(self) -> RootOfTrust: ...
    @property
    def manufacturer(self) -> str: ...
    @property
    def firmware(self) -> str: ...


class Quote(Protocol):
    """A quote over registers of the SHA-256 bank, and what is needed to verify it."""

    @property
    def attest(self) -> bytes: ...
    @property
    def signature_der(self) -> bytes: ...
    @property
    def pcrs(self) -> Mapping[int, bytes]: ...
    @property
    def ak_public(self) -> bytes: ...


class QuoteSource(Protocol):
    """The owner of the TPM. Both raise ``TpmError``."""

    def open(self) -> Identity:
        """Reach the TPM, unless it is reached already, and say which one it is."""

    def challenge(self, nonce: bytes, *, also: tuple[int, ...] = ()) -> Quote:
        """Quote with ``nonce``, 8 to 31 bytes, as qualifying data; ``also`` further registers."""


@dataclass(frozen=True, slots=True)
class VerifiedQuote:
    """A quote that holds. ``claims`` are what it says, ``attachment`` is it as it came."""

    pcrs: Mapping[int, bytes]
    reset_count: int
    claims: Mapping[str, object]
    attachment: bytes


def take_quote(source: QuoteSource, also: tuple[int, ...] = ()) -> VerifiedQuote:
    """A quote over a fresh nonce that holds. Raises ``FormatError`` with what does not hold,
    ``TpmError``."""
    for attempt in range(_ATTEMPTS):
        nonce = secrets.token_bytes(NONCE_SIZE)
        try:
            return verify_quote(source.challenge(nonce, also=also), nonce)
        except FormatError as error:
            if error.code != "QUOTE_PCR_DIGEST" or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def verify_quote(quote: Quote, nonce: bytes) -> VerifiedQuote:
    """Verify ``quote`` as the answer to ``nonce``.

    Raises ``FormatError``: the codes of ``parse_attest``, ``parse_public``, ``check_ak`` and
    ``has_signed``, and QUOTE_SIGNATURE, QUOTE_TYPE, QUOTE_NONCE, QUOTE_SELECTION,
    QUOTE_PCR_DIGEST.
    """
    public = parse_public(quote.ak_public)
    check_ak(public)
    if not has_signed(public, quote.attest, quote.signature_der):
        raise _broken("QUOTE_SIGNATURE", "its signature is not the attestation key's")
    attest = parse_attest(quote.attest)
    info = _check_answers(attest, nonce)
    if info.selection != sha256_selection(quote.pcrs):
        raise _broken("QUOTE_SELECTION", "it covers other registers than were asked for")
    if info.digest != composite_digest(quote.pcrs, info.selection):
        raise _broken("QUOTE_PCR_DIGEST", "the register values are not those that were quoted")
    ak_name = public.name().hex()
    pcrs = pcrs_text(quote.pcrs)
    claims = {
        "verified": True,
        "pcrs": pcrs,
        "pcr_count": len(quote.pcrs),
        "reset_count": attest.reset_count,
        "restart_count": attest.restart_count,
        "clock_ms": attest.clock_ms,
        "safe": attest.safe,
        "firmware": f"{attest.firmware:016x}",
        "ak_name": ak_name,
        "digest": info.digest.hex(),
    }
    attachment = _attachment(quote, nonce, pcrs, ak_name)
    return VerifiedQuote(dict(quote.pcrs), attest.reset_count, claims, attachment)


def _check_answers(attest: Attest, nonce: bytes) -> QuoteInfo:
    if attest.type is not AttestType.QUOTE or attest.quote is None:
        raise _broken("QUOTE_TYPE", "the TPM attested something other than registers")
    if attest.extra_data != nonce:
        raise _broken("QUOTE_NONCE", "it answers another challenge than ours")
    return attest.quote


def _attachment(quote: Quote, nonce: bytes, pcrs: Mapping[str, str], ak_name: str) -> bytes:
    """docs/formats.md, "Attachments"."""
    return canonical_json(
        {
            "nonce": nonce.hex(),
            "attest": base64.b64encode(quote.attest).decode(),
            "signature": base64.b64encode(quote.signature_der).decode(),
            "pcrs": pcrs,
            "ak_name": ak_name,
        }
    )


def _broken(code: str, message: str) -> FormatError:
    return FormatError(
        code,
        f"the TPM's quote does not verify: {message}",
        remedy="Take another; if it stays so, treat this node's TPM or its path as compromised.",
    )
