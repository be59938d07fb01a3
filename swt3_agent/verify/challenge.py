"""Judge the answer to a live challenge: did the enrolled TPM quote its registers over my nonce?

docs/formats.md, "Challenge quote". A checkpoint never passes for an answer, nor an answer for a
checkpoint: the one carries 32 bytes, the other 8 to 31.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from swt3_agent.errors import FormatError
from swt3_agent.protocol.checkpoint import BOOT_PCRS, LOG_PCRS
from swt3_agent.protocol.reference import Reference
from swt3_agent.protocol.trust import TrustStatement
from swt3_agent.tcg.attest import Attest, QuoteInfo, parse_attest
from swt3_agent.tcg.pcr import composite_digest, sha256_selection
from swt3_agent.tcg.public import EccPublic, check_ak, parse_public
from swt3_agent.tcg.signature import tpmt_to_der
from swt3_agent.verify import anchoring
from swt3_agent.verify.answer import Answer, read_answer
from swt3_agent.verify.challenge_report import ChallengeReport, limits
from swt3_agent.verify.course import Course
from swt3_agent.verify.lineage import keys_from
from swt3_agent.verify.references import examine_reference
from swt3_agent.verify.refusal import refusal, remedy_of
from swt3_agent.verify.report import Outcome
from swt3_agent.verify.roots import examine_root, root_of

CHECKPOINT_SIZE = 32
"""Bytes of qualifying data that belong to checkpoints alone."""


@dataclass(slots=True)
class _Examination(Course):
    answer: Answer | None = None
    attest: Attest | None = None
    statement: TrustStatement | None = None
    trusted: str = "nobody"
    reference: Reference | None = None
    keys: tuple[EccPublic, ...] = ()
    judged_ms: int | None = None


def verify_challenge(
    files: Mapping[str, bytes],
    *,
    nonce: bytes | None,
    trust: bytes | None = None,
    reference: bytes | None = None,
    allow_software_tpm: bool = False,
    now_ms: int | None = None,
) -> ChallengeReport:
    """Judge the ``files`` that `quote` wrote, by name, as the answer to the challenge ``nonce``.

    ``reference`` is a file of reference values; ``now_ms`` is the verifier's UTC time, at which the
    trust file must be valid; the others are as for ``verify_proof``. Raises nothing: what is wrong
    is in the report.
    """
    examination = _Examination(judged_ms=now_ms)
    try:
        answer = _read(examination, files)
        attest, quoted = _examine_quote(examination, answer)
        _examine_nonce(examination, attest, nonce)
        _examine_pcrs(examination, answer, quoted)
        _examine_key(examination, answer)
        _examine_signer(examination, answer, attest, trust, now_ms)
        examine_root(examination, examination.statement, allow_software_tpm)
        examination.reference = examine_reference(examination, reference, answer.pcrs, None)
    except FormatError as error:
        return _report(examination, examination.failed(error), error)
    if examination.doubts:
        return _report(examination, Outcome.UNDECIDED, examination.doubts[0])
    return _report(examination, Outcome.VERIFIED, None)


def _read(examination: _Examination, files: Mapping[str, bytes]) -> Answer:
    examination.begin("format")
    answer = examination.answer = read_answer(files)
    examination.passed("key, attestation, signature and PCR values can be read")
    return answer


def _examine_quote(examination: _Examination, answer: Answer) -> tuple[Attest, QuoteInfo]:
    examination.begin("signature")
    try:
        der = tpmt_to_der(answer.signature)
        answer.key.verify(der, answer.attest, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise refusal("CHALLENGE_SIGNATURE", "ak.pem did not sign quote.msg") from None
    examination.passed("the key in ak.pem signed the attestation")
    examination.begin("quote")
    attest = parse_attest(answer.attest)
    if attest.quote is None:
        raise refusal("ATTEST_TYPE", "the attestation is not a quote")
    examination.attest = attest
    examination.passed("a quote that a TPM generated")
    return attest, attest.quote


def _examine_nonce(examination: _Examination, attest: Attest, nonce: bytes | None) -> None:
    examination.begin("nonce")
    if len(attest.extra_data) == CHECKPOINT_SIZE:
        raise refusal(
            "CHALLENGE_CHECKPOINT",
            f"the quote carries {CHECKPOINT_SIZE} bytes: it is a checkpoint's, and answers nobody",
        )
    if nonce is None:
        examination.doubt(
            "CHALLENGE_NO_NONCE",
            "you gave no nonce, so that nothing shows when the quote was made",
        )
        return
    if not attest.extra_data:
        raise refusal("CHALLENGE_NONCE_MISSING", "the quote carries no nonce at all")
    if attest.extra_data != nonce:
        raise refusal(
            "CHALLENGE_NONCE",
            f"the quote answers {attest.extra_data.hex()}, not {nonce.hex()}: it is an older"
            " answer, or one to somebody else",
        )
    examination.passed("it answers your challenge, so that it was made after you sent it")


def _examine_pcrs(examination: _Examination, answer: Answer, quoted: QuoteInfo) -> None:
    examination.begin("pcrs")
    indices = {index for _, index in quoted.selection}
    more = indices - set(BOOT_PCRS)
    if (
        not set(BOOT_PCRS) < indices
        or not more <= LOG_PCRS
        or quoted.selection != sha256_selection(indices)
    ):
        raise refusal(
            "QUOTE_PCR_SELECTION",
            "the quote does not cover the registers of the SHA-256 bank that an answer covers",
        )
    if composite_digest(answer.pcrs, quoted.selection) != quoted.digest:
        raise refusal("QUOTE_PCR_DIGEST", "the PCR values given are not those that were quoted")
    examination.passed(f"the values of {len(indices)} PCRs are the quoted ones")


def _examine_key(examination: _Examination, answer: Answer) -> None:
    examination.begin("attestation-key")
    if answer.public is None:
        examination.not_applicable("ak.pem does not say what kind of key it is, and ak.pub is gone")
        return
    ak = parse_public(answer.public)
    if ak.spki_der() != answer.spki_der:
        raise refusal("CHALLENGE_KEY", "ak.pub is the public area of another key than ak.pem")
    check_ak(ak)
    examination.passed(f"restricted, fixed to its TPM; Name {ak.name().hex()}")


def _examine_signer(
    examination: _Examination,
    answer: Answer,
    attest: Attest,
    trust: bytes | None,
    now_ms: int | None,
) -> None:
    examination.begin("signer")
    if trust is None:
        examination.doubt(
            "SIGNER_UNANCHORED",
            "no trust file says that this key belongs to a TPM of this node",
        )
        return
    statement = anchoring.read_trust(trust).statement
    keys = keys_from(statement, answer.successions)
    if keys[-1].spki_der() != answer.spki_der:
        raise refusal("TRUST_AK", "the answer is signed by another key than the enrolled AK")
    check_ak(keys[0])
    if statement.log_pcr not in answer.pcrs:
        raise refusal("TRUST_LOG_PCR", f"the quote leaves out the log PCR, {statement.log_pcr}")
    if now_ms is not None:
        anchoring.check_validity(statement, now_ms, "the answer")
    if statement.floors is not None:
        anchoring.check_tpm_floors(statement.floors, attest)
    examination.statement, examination.keys = statement, keys
    examination.trusted = anchoring.describe(trust, statement)
    examination.passed(f"{statement.enroller} vouches for this key as that of {statement.node_id}")


def _report(
    examination: _Examination, outcome: Outcome, error: FormatError | None
) -> ChallengeReport:
    attest, answer, shown = examination.attest, examination.answer, outcome is not Outcome.FALSE
    unproven: tuple[str, ...] = ()
    if shown and attest is not None:
        unproven = tuple(limits(attest, examination.statement, examination.reference))
    return ChallengeReport(
        outcome=outcome,
        code="VERIFIED" if error is None else error.code,
        reason="the enrolled TPM key quoted these PCR values over your nonce"
        if error is None
        else error.message,
        remedy="" if error is None else remedy_of(error),
        checks=tuple(examination.checks),
        trusted=examination.trusted,
        root_of_trust=root_of(examination.statement),
        not_proven=unproven,
        attest=attest if shown else None,
        pcrs=answer.pcrs if shown and answer is not None else None,
        statement=examination.statement,
        keys=examination.keys,
        judged_ms=examination.judged_ms,
    )
