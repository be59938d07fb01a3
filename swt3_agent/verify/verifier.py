"""Judge one proof offline, with nothing but the proof and, if there is one, a trust file.

docs/formats.md, "Verification", lists the checks in this order, each with its codes. What is wrong
makes the outcome FALSE at once; what is only lacking makes it UNDECIDED, and only if nothing is
wrong.
"""

from swt3_agent.errors import FormatError
from swt3_agent.protocol.checkpoint import CheckpointNote, SignedNote, parse_signed_note
from swt3_agent.protocol.log_tree import verify_inclusion
from swt3_agent.protocol.proof import Proof, decode_proof
from swt3_agent.tcg.public import check_ak, parse_tpmt
from swt3_agent.verify import anchoring, content, earlier, quote
from swt3_agent.verify.examination import Examination
from swt3_agent.verify.lineage import check_keys
from swt3_agent.verify.moments import utc_text
from swt3_agent.verify.refusal import refusal
from swt3_agent.verify.report import Report
from swt3_agent.verify.roots import examine_root

CLOCK_TOLERANCE_MS = 5 * 60 * 1000
"""How far the node's clock may run ahead of the verifier's."""


def verify_proof(
    data: bytes,
    *,
    trust: bytes | None = None,
    allow_software_tpm: bool = False,
    now_ms: int | None = None,
) -> Report:
    """Judge the proof file ``data``.

    ``trust`` is the enroller's trust file; without it the outcome is never VERIFIED, since anyone
    can make a key. ``allow_software_tpm`` accepts heads of a node enrolled with a software TPM.
    ``now_ms`` is the verifier's UTC time; without it a head from the future is not noticed.

    Raises nothing: whatever is wrong with the files is in the report.
    """
    examination = Examination()
    try:
        proof, head = _read(examination, data)
        _examine_place(examination, proof, head.note)
        _examine_quote(examination, proof, head)
        _examine_previous(examination, proof, head)
        _examine_content(examination, proof)
        _examine_time(examination, head.note, now_ms)
        _examine_signer(examination, proof, head.note, trust)
        examine_root(examination, examination.statement, allow_software_tpm)
    except FormatError as error:
        return examination.refused(error)
    return examination.concluded()


def _read(examination: Examination, data: bytes) -> tuple[Proof, SignedNote]:
    examination.begin("format")
    proof = decode_proof(data)
    head = parse_signed_note(proof.note)
    note = head.note
    if (note.node_id, note.log_id) != (proof.node_id, proof.log_id):
        raise refusal("IDENTITY", "the head is of another node or log than the proof says")
    examination.proof, examination.head = proof, head
    examination.passed(f"a proof of record {proof.record.seq} in log {proof.log_id}")
    return proof, head


def _examine_place(examination: Examination, proof: Proof, note: CheckpointNote) -> None:
    """The record is what the leaf says, and the leaf is where the head says."""
    record = proof.record
    examination.begin("leaf")
    if record.computed_leaf() != record.leaf:
        raise refusal(
            "LEAF_MISMATCH",
            "payload, provenance, salts and sequence number do not make the leaf of this record",
        )
    examination.passed("payload and provenance make the leaf")
    examination.begin("inclusion")
    if record.seq >= note.size:
        raise refusal(
            "INCLUSION_RANGE",
            f"the head covers {note.size} records, and record {record.seq} is not among them",
        )
    if not verify_inclusion(record.leaf, record.seq, note.size, proof.inclusion, note.root):
        raise refusal(
            "INCLUSION_MISMATCH",
            f"the path does not lead from record {record.seq} to the root of the head",
        )
    examination.passed(f"record {record.seq} of {note.size} under the root of the head")


def _examine_quote(examination: Examination, proof: Proof, head: SignedNote) -> None:
    """The head is a TPM's, unless nobody signed it."""
    context = proof.quote
    examination.begin("signature")
    if context is None and not head.signatures:
        examination.doubt(
            "LOG_UNSIGNED",
            "nobody signed the head: the node has no TPM, and its log can be rewritten by root",
        )
        return
    if context is None or not head.signatures:
        raise refusal(
            "NOTE_SIGNATURE_MISSING",
            "the head's signature, or what it takes to check it, was removed from the proof",
        )
    ak = parse_tpmt(context.ak_public)
    signature = quote.signature_under(head, ak)
    quote.check_signature(signature, ak)
    examination.passed("the AK signed the attestation")
    examination.begin("quote")
    attest, quoted = quote.check_attest(signature.attest, head.body)
    examination.passed("a quote of this head and nothing else")
    examination.begin("pcrs")
    quote.check_pcrs(quoted, context)
    examination.passed("the PCR values are the quoted ones")
    examination.begin("log-pcr")
    quote.check_log_pcr(context, head.body)
    examination.passed(f"the head was extended into PCR {context.log_pcr} before it was quoted")
    examination.begin("attestation-key")
    check_ak(ak)
    examination.passed(f"restricted, fixed to its TPM; Name {ak.name().hex()}")
    examination.quote = quote.VerifiedQuote(ak, attest, context)


def _examine_previous(examination: Examination, proof: Proof, head: SignedNote) -> None:
    """The head before the record is of the same log, was quoted before, and does not cover it."""
    previous, covering = proof.previous, examination.quote
    if previous is None:
        return
    examination.begin("previous")
    examination.previous = earlier.check_previous(previous, proof.record.seq, head, covering)
    examination.passed(
        f"the log had {examination.previous.head.note.size} records at an earlier head, and grew"
    )


def _examine_content(examination: Examination, proof: Proof) -> None:
    examination.begin("fingerprint")
    recomputed, detail = content.check_fingerprint(proof)
    if recomputed:
        examination.passed(detail)
    else:
        examination.not_applicable(detail)


def _examine_time(examination: Examination, note: CheckpointNote, now_ms: int | None) -> None:
    examination.begin("time")
    if now_ms is None:
        examination.not_applicable("the verifier's own time was not given")
        return
    if note.utc_ms > now_ms + CLOCK_TOLERANCE_MS:
        raise refusal(
            "NOTE_FUTURE",
            f"the head says {utc_text(note.utc_ms)}, which is later than now, {utc_text(now_ms)}",
        )
    examination.passed("the head is not from the future")


def _examine_signer(
    examination: Examination, proof: Proof, note: CheckpointNote, trust: bytes | None
) -> None:
    """The AK is the one that the enroller vouches for, in the time and state he vouches for."""
    examination.begin("signer")
    if trust is None:
        examination.doubt(
            "SIGNER_UNANCHORED",
            "no trust file says that this key belongs to a TPM of this node",
        )
        return
    statement = anchoring.read_trust(trust).statement
    anchoring.check_identity(statement, note)
    anchoring.check_validity(statement, note.utc_ms)
    if examination.quote is None:
        examination.not_applicable("the trust file is about this log, but nobody signed the head")
        return
    examination.keys = check_keys(statement, proof, examination.quote, examination.previous)
    if statement.floors is not None:
        anchoring.check_floors(statement.floors, note, examination.quote.attest)
    examination.statement = statement
    examination.trusted = anchoring.describe(trust, statement)
    rotated = f", {len(examination.keys) - 1} rotations away" if len(examination.keys) > 1 else ""
    examination.passed(f"{statement.enroller} vouches for this key{rotated}, node and log")
