"""What a request proves by itself: that its AK is one, and signed this head and this counter.

That the AK lives in a TPM, and beside which EK, only the answer to a challenge shows.
"""

from dataclasses import dataclass

from swt3_agent.errors import FormatError
from swt3_agent.protocol.checkpoint import CheckpointNote, SignedNote, parse_signed_note
from swt3_agent.protocol.enrolment import (
    CounterEvidence,
    HeadEvidence,
    Request,
    counter_data,
    decode_file,
    file_digest,
)
from swt3_agent.protocol.pcr_values import pcrs_from
from swt3_agent.protocol.proof import QuoteContext
from swt3_agent.protocol.trust import Floors
from swt3_agent.tcg.attest import Attest, parse_attest
from swt3_agent.tcg.ecdsa import has_signed
from swt3_agent.tcg.names import under_endorsement_primary
from swt3_agent.tcg.nv_public import COUNTER_SIZE, NvPublic, check_counter, parse_nv_public
from swt3_agent.tcg.public import EccPublic, check_ak, parse_tpmt
from swt3_agent.verify import quote
from swt3_agent.verify.moments import utc_text

CLOCK_TOLERANCE_MS = 5 * 60 * 1000
"""How far the node's clock may run ahead of the enroller's."""
MAX_REQUEST_AGE_MS = 30 * 24 * 60 * 60 * 1000
"""How old the head may be: the trust file speaks for all since, and the date is the node's word."""

_REMEDY = "make the request again on the node: `swt3-agent enroll request`"


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request whose signatures hold. ``digest`` is its file's SHA-256 in hex; ``counter`` the NV
    index of the gapless counter, None where the node keeps none."""

    request: Request
    digest: str
    ak: EccPublic
    note: CheckpointNote
    attest: Attest
    counter: NvPublic | None

    def floors(self) -> Floors:
        """The state of log and TPM in the head."""
        return Floors(
            size=self.note.size,
            root=self.note.root,
            clock_ms=self.attest.clock_ms,
            resets=self.attest.reset_count,
            counter=self.note.counter,
        )


def check_request(data: bytes, now_ms: int) -> CheckedRequest:
    """The request in ``data``, if all that it can show by itself holds at ``now_ms`` (UTC).

    Raises FormatError: ``ENROL_FORMAT_UNKNOWN``, ``ENROL_FILE``; ``PUBLIC_*`` and ``AK_*`` for an
    AK that is none; ``NOTE_*``, ``SIGNATURE_*``, ``ATTEST_*``, ``QUOTE_*``, ``PCR_*``, ``LOG_PCR``
    and ``LOG_PCR_REPLAY`` for the head, as for that of a proof; ``ENROL_IDENTITY`` for the head of
    another log; ``ENROL_HIERARCHY``; ``ENROL_FUTURE``, ``ENROL_STALE``; ``ENROL_COUNTER_*``,
    ``NV_PUBLIC_*`` and ``COUNTER_INDEX_*``.
    """
    request = decode_file(data, Request)
    ak = parse_tpmt(request.ak_public)
    check_ak(ak)
    head = parse_signed_note(request.head.checkpoint.encode())
    note = head.note
    if (note.node_id, note.log_id) != (request.node_id, request.log_id):
        raise _refusal("ENROL_IDENTITY", "its head is of another node or log than it says")
    attest = _check_head(head, request.head, ak)
    parent = bytes.fromhex(request.ak_parent)
    if attest.qualified_signer != under_endorsement_primary(parent, ak.name()):
        raise FormatError(
            "ENROL_HIERARCHY",
            "the AK does not hang under a primary of the endorsement hierarchy: its quotes show"
            " obfuscated counts of resets",
            remedy="enrol a key that the agent made; look for what made this one",
        )
    if note.utc_ms > now_ms + CLOCK_TOLERANCE_MS:
        raise FormatError(
            "ENROL_FUTURE",
            f"its head says {utc_text(note.utc_ms)}, which is later than now, {utc_text(now_ms)}",
            remedy="compare the clocks of both machines",
        )
    if note.utc_ms < now_ms - MAX_REQUEST_AGE_MS:
        raise FormatError(
            "ENROL_STALE",
            f"its head says {utc_text(note.utc_ms)}, more than 30 days before now,"
            f" {utc_text(now_ms)}",
            remedy="compare the clocks of both machines, and make the request again on the node",
        )
    counter = None
    if request.counter is not None:
        counter = _check_counter(request.counter, ak, head, attest)
    return CheckedRequest(request, file_digest(data), ak, note, attest, counter)


def _check_head(head: SignedNote, evidence: HeadEvidence, ak: EccPublic) -> Attest:
    if not head.signatures:
        raise _refusal("ENROL_UNSIGNED", "its head is not signed: there is no TPM to enrol")
    signature = quote.signature_under(head, ak)
    quote.check_signature(signature, ak)
    attest, quoted = quote.check_attest(signature.attest, head.body)
    context = QuoteContext(
        ak_public=ak.tpmt,
        log_pcr=evidence.log_pcr,
        before=bytes.fromhex(evidence.before),
        pcrs=pcrs_from(evidence.pcrs),
    )
    quote.check_pcrs(quoted, context)
    quote.check_log_pcr(context, head.body)
    return attest


def _check_counter(
    evidence: CounterEvidence, ak: EccPublic, head: SignedNote, signed: Attest
) -> NvPublic:
    """The counter's index, if the AK certified its value after it signed the head."""
    public = parse_nv_public(evidence.public)
    check_counter(public)
    if not has_signed(ak, evidence.attest, evidence.signature):
        raise _refusal("ENROL_COUNTER_SIGNATURE", "the AK did not sign the counter's certificate")
    attest = parse_attest(evidence.attest)
    nv = attest.nv
    if nv is None or attest.extra_data != counter_data(head.body):
        raise _refusal(
            "ENROL_COUNTER_OTHER", "the counter's certificate was not made for this head"
        )
    if nv.name != public.name() or nv.offset != 0 or len(nv.contents) != COUNTER_SIZE:
        raise _refusal("ENROL_COUNTER_INDEX", "the certificate is of another index or part of it")
    if attest.reset_count != signed.reset_count or attest.clock_ms < signed.clock_ms:
        raise _refusal("ENROL_COUNTER_STALE", "the counter was certified before the head was made")
    value = int.from_bytes(nv.contents, "big")
    if value not in (head.note.counter, head.note.counter + 1):  # a step may be under way
        raise _refusal(
            "ENROL_COUNTER_VALUE",
            f"the counter stands at {value}, and the head claims {head.note.counter}: the log is"
            " an old one, or has taken no step yet",
        )
    return public


def _refusal(code: str, message: str) -> FormatError:
    return FormatError(code, f"the request is not to be trusted: {message}", remedy=_REMEDY)
