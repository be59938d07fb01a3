"""Judging one proof: what was brought to light, and the report at the end."""

from dataclasses import dataclass, replace

from swt3_agent.errors import FormatError
from swt3_agent.protocol.checkpoint import SignedNote
from swt3_agent.protocol.proof import Proof
from swt3_agent.protocol.trust import TrustStatement
from swt3_agent.tcg.public import EccPublic
from swt3_agent.verify import content
from swt3_agent.verify.course import Course
from swt3_agent.verify.earlier import EarlierHead, interval_of
from swt3_agent.verify.limits import limits
from swt3_agent.verify.quote import VerifiedQuote
from swt3_agent.verify.refusal import remedy_of
from swt3_agent.verify.report import HeadInfo, Outcome, RecordInfo, Report
from swt3_agent.verify.roots import root_of


@dataclass(slots=True)
class Examination(Course):
    """The course of judging a proof, and what it brought to light."""

    proof: Proof | None = None
    head: SignedNote | None = None
    quote: VerifiedQuote | None = None
    previous: EarlierHead | None = None
    statement: TrustStatement | None = None
    keys: tuple[EccPublic, ...] = ()
    trusted: str = "nobody"

    def refused(self, error: FormatError) -> Report:
        """The report when a check failed."""
        return self._report(self.failed(error), error.code, error.message, remedy_of(error))

    def concluded(self) -> Report:
        """The report when no check failed: the first doubt decides, if there is one."""
        if self.doubts:
            first = self.doubts[0]
            return self._report(Outcome.UNDECIDED, first.code, first.message, first.remedy)
        reason = "the record is in the log under a head that the enrolled TPM key quoted"
        return self._report(Outcome.VERIFIED, "VERIFIED", reason, "")

    def _report(self, outcome: Outcome, code: str, reason: str, remedy: str) -> Report:
        proof, head = self.proof, self.head
        record_info = head_info = interval = None
        unproven: tuple[str, ...] = ()
        if proof is not None and head is not None and outcome is not Outcome.FALSE:
            record_info = _record_info(proof)
            head_info = _head_info(head, self.quote)
            attest = self.quote.attest if self.quote else None
            interval = interval_of(self.previous, head, self.quote)
            unproven = tuple(limits(proof, head.note, attest, self.statement, interval))
        return Report(
            outcome=outcome,
            code=code,
            reason=reason,
            remedy=remedy,
            checks=tuple(self.checks),
            trusted=self.trusted,
            root_of_trust=root_of(None if self.quote is None else self.statement),
            not_proven=unproven,
            record=record_info,
            head=head_info,
            interval=interval,
            previous=None
            if self.previous is None
            else _head_info(self.previous.head, self.previous.quote),
            statement=self.statement,
            keys=self.keys,
        )


def _record_info(proof: Proof) -> RecordInfo:
    record = proof.record
    return RecordInfo(
        record_id=f"{proof.log_id}/{record.seq}",
        seq=record.seq,
        payload=record.payload.content,
        payload_json=content.payload_json(proof),
        provenance=content.provenance_json(proof),
    )


def _head_info(head: SignedNote, quote: VerifiedQuote | None) -> HeadInfo:
    note = head.note
    info = HeadInfo(
        size=note.size,
        root=note.root,
        utc_ms=note.utc_ms,
        boot_id=note.boot_id,
        counter=note.counter,
    )
    if quote is None:
        return info
    return replace(
        info,
        tpm_clock_ms=quote.attest.clock_ms,
        tpm_resets=quote.attest.reset_count,
        tpm_restarts=quote.attest.restart_count,
        pcrs=quote.context.pcrs,
    )
