"""The quote in a checkpoint's signature: did this AK quote this head, after extending it?"""

from dataclasses import dataclass

from swt3_agent.protocol.checkpoint import (
    QuoteSignature,
    SignedNote,
    extended,
    parse_quote_signature,
    qualifying_data,
    quoted_pcrs,
)
from swt3_agent.protocol.proof import QuoteContext
from swt3_agent.tcg.attest import Attest, QuoteInfo, parse_attest
from swt3_agent.tcg.ecdsa import has_signed
from swt3_agent.tcg.pcr import composite_digest, sha256_selection
from swt3_agent.tcg.public import EccPublic, check_ak, parse_tpmt
from swt3_agent.verify.refusal import refusal


@dataclass(frozen=True, slots=True)
class VerifiedQuote:
    """A quote that passed every check of this module: who made it, what it says, of what."""

    ak: EccPublic
    attest: Attest
    context: QuoteContext


def verify_quote(head: SignedNote, context: QuoteContext) -> VerifiedQuote:
    """All checks of this module, and whether the key is an attestation key at all.

    Raises FormatError as they do, ``PUBLIC_*`` and ``AK_*``.
    """
    ak = parse_tpmt(context.ak_public)
    signature = signature_under(head, ak)
    check_signature(signature, ak)
    attest, quoted = check_attest(signature.attest, head.body)
    check_pcrs(quoted, context)
    check_log_pcr(context, head.body)
    check_ak(ak)
    return VerifiedQuote(ak, attest, context)


def signature_under(head: SignedNote, ak: EccPublic) -> QuoteSignature:
    """The quote that ``head`` carries in the line of this key.

    Raises FormatError ``NOTE_KEY_ID`` where no line names origin and key, and
    ``NOTE_SIGNATURE_FORMAT``.
    """
    line = head.signature_of(ak.spki_der())
    if line is None:
        raise refusal(
            "NOTE_KEY_ID", f"no signature of the note is that of {head.note.origin} and this AK"
        )
    return parse_quote_signature(line.signature)


def check_signature(quote: QuoteSignature, ak: EccPublic) -> None:
    """Whether the AK signed this attestation: ECDSA with SHA-256 on P-256, DER.

    Raises FormatError ``NOTE_SIGNATURE``, ``AK_CURVE``, or ``SIGNATURE_*`` for bytes that are not
    the one DER encoding of a signature.
    """
    if not has_signed(ak, quote.attest, quote.signature_der):
        raise refusal("NOTE_SIGNATURE", "the AK did not sign this attestation")


def check_attest(data: bytes, body: bytes) -> tuple[Attest, QuoteInfo]:
    """The attestation, if it is a quote of the note ``body``.

    Raises FormatError ``ATTEST_*``; ``QUOTE_CHALLENGE`` for a quote made to answer a challenge,
    ``QUOTE_OTHER_NOTE`` for one of another note.
    """
    attest = parse_attest(data)
    if attest.quote is None:
        raise refusal("ATTEST_TYPE", "the attestation is not a quote")
    expected = qualifying_data(body)
    if len(attest.extra_data) != len(expected):
        raise refusal(
            "QUOTE_CHALLENGE",
            f"the quote carries {len(attest.extra_data)} bytes and answers a challenge:"
            f" a checkpoint carries {len(expected)}",
        )
    if attest.extra_data != expected:
        raise refusal("QUOTE_OTHER_NOTE", "the quote was made for another note")
    return attest, attest.quote


def check_pcrs(quoted: QuoteInfo, context: QuoteContext) -> None:
    """Whether the quote covers the pinned registers, and the values given are those it covers.

    Raises FormatError ``LOG_PCR``, ``QUOTE_PCR_SELECTION``, ``QUOTE_PCR_DIGEST`` or ``PCR_*``.
    """
    expected = sha256_selection(quoted_pcrs(context.log_pcr))
    if quoted.selection != expected:
        raise refusal(
            "QUOTE_PCR_SELECTION",
            "the quote covers other registers than sha256:"
            + ",".join(str(index) for _, index in expected),
        )
    if composite_digest(context.pcrs, expected) != quoted.digest:
        raise refusal("QUOTE_PCR_DIGEST", "the PCR values given are not those that were quoted")


def check_log_pcr(context: QuoteContext, body: bytes) -> None:
    """Whether the note was extended before it was quoted.

    Raises FormatError ``LOG_PCR_REPLAY``: a note that was quoted but not extended leaves no trace
    in the chain, so that a second history could be signed beside the first.
    """
    if context.pcrs[context.log_pcr] != extended(context.before, body):
        raise refusal(
            "LOG_PCR_REPLAY",
            f"extending the note does not turn the earlier value of PCR {context.log_pcr}"
            " into the quoted one",
        )
