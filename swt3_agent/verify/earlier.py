"""The head before the record: when the log did not hold it yet (docs/formats.md, "Proof")."""

from dataclasses import dataclass

from swt3_agent.protocol.checkpoint import SignedNote, parse_signed_note
from swt3_agent.protocol.log_tree import verify_consistency
from swt3_agent.protocol.proof import PreviousHead
from swt3_agent.protocol.tpm_clock import tolerance_ms
from swt3_agent.verify import quote
from swt3_agent.verify.quote import VerifiedQuote
from swt3_agent.verify.refusal import refusal


@dataclass(frozen=True, slots=True)
class EarlierHead:
    """A head before the record, with the quote that was verified."""

    head: SignedNote
    quote: VerifiedQuote


@dataclass(frozen=True, slots=True)
class Interval:
    """Between which heads a record came into the log, in ms UTC by the node's own clock.

    ``not_before_ms`` is None where no earlier head is shown, or the node's clock was set back
    between the two. ``elapsed_ms`` is what passed between the two quotes on the TPM's own clock,
    None across a reset. ``step_ms`` is how far the node's clock was set against the TPM's between
    them, 0 for what drift explains.
    """

    not_before_ms: int | None
    not_after_ms: int
    elapsed_ms: int | None
    step_ms: int = 0


def check_previous(
    previous: PreviousHead, seq: int, head: SignedNote, covering: VerifiedQuote | None
) -> EarlierHead:
    """The earlier head, if it is one of the same log as ``head`` that does not cover ``seq``.

    ``covering`` is the verified quote of ``head``. Raises FormatError: what ``verify_quote``
    raises; ``NOTE_FORMAT``, ``NOTE_BODY``, ``IDENTITY``, ``PREVIOUS_UNSIGNED``,
    ``PREVIOUS_RANGE``, ``PREVIOUS_CONSISTENCY``, ``PREVIOUS_LOG_PCR`` or ``PREVIOUS_CLOCK``.
    """
    signed = parse_signed_note(previous.note)
    note, later = signed.note, head.note
    if covering is None or not signed.signatures:
        raise refusal("PREVIOUS_UNSIGNED", "an earlier head is told that no TPM signed")
    if note.origin != later.origin:
        raise refusal("IDENTITY", "the earlier head is of another node or log")
    if note.size > seq:
        raise refusal(
            "PREVIOUS_RANGE", f"the earlier head covers {note.size} records, {seq} among them"
        )
    if not verify_consistency(note.size, later.size, note.root, later.root, previous.consistency):
        raise refusal("PREVIOUS_CONSISTENCY", "the log did not grow out of the earlier head")
    verified = quote.verify_quote(signed, previous.quote)
    if previous.quote.log_pcr != covering.context.log_pcr:
        raise refusal("PREVIOUS_LOG_PCR", "the earlier head lies in another register")
    before, after = verified.attest, covering.attest
    if (before.reset_count, before.clock_ms) > (after.reset_count, after.clock_ms):
        raise refusal("PREVIOUS_CLOCK", "the TPM says that the earlier head was quoted later")
    return EarlierHead(signed, verified)


def interval_of(
    earlier: EarlierHead | None, head: SignedNote, covering: VerifiedQuote | None
) -> Interval:
    """When the record came into the log, as far as the heads tell."""
    later = head.note
    if earlier is None or covering is None:
        return Interval(None, later.utc_ms, None)
    note, before, after = earlier.head.note, earlier.quote.attest, covering.attest
    not_before = note.utc_ms if note.utc_ms <= later.utc_ms else None
    if before.reset_count != after.reset_count:
        return Interval(not_before, later.utc_ms, None)
    elapsed = after.clock_ms - before.clock_ms
    step = later.utc_ms - note.utc_ms - elapsed
    return Interval(
        not_before, later.utc_ms, elapsed, step if abs(step) > tolerance_ms(elapsed) else 0
    )
