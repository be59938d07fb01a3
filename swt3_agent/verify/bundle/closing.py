"""The closing of a bundle: a proof of the record in which the log states the manifest's digest."""

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.bundle import MANIFEST, PROOF, Manifest
from swt3_agent.protocol.proof import Salted, decode_proof
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.verify.bundle.examination import Examination
from swt3_agent.verify.course import UNREADABLE
from swt3_agent.verify.refusal import refusal
from swt3_agent.verify.report import Check, Outcome, Report


class _Provenance(msgspec.Struct):
    listener: str
    phase: str


class _Export(msgspec.Struct):
    manifest: str
    first: int
    end: int
    root: str


def examine_closing(
    examination: Examination, manifest: Manifest, data: bytes, closing: Report
) -> None:
    """The log itself says, under its last head, that this manifest left it.

    ``data`` is the proof, ``closing`` the report on it. Raises FormatError: the code of the proof,
    ``CLOSING_RECORD``, ``CLOSING_MANIFEST``, ``CLOSING_RANGE`` or ``IDENTITY``.
    """
    examination.closing = closing
    examination.checks += [
        Check(f"closing-{check.name}", check.ok, check.detail) for check in closing.checks
    ]
    if closing.outcome is Outcome.FALSE or closing.code in UNREADABLE:
        examination.begin("closing")
        raise FormatError(closing.code, closing.reason, remedy=closing.remedy)
    if closing.outcome is Outcome.UNDECIDED:
        examination.doubts.append(FormatError(closing.code, closing.reason, remedy=closing.remedy))
    examination.begin("closing")
    proof = decode_proof(data)
    provenance = proof.record.provenance
    try:
        export = msgspec.json.decode(proof.record.payload.content, type=_Export)
        origin = msgspec.json.decode(
            provenance.content if isinstance(provenance, Salted) else b"", type=_Provenance
        )
    except MALFORMED:
        raise refusal("CLOSING_RECORD", f"{PROOF} is of another record than an export") from None
    if (origin.listener, origin.phase) != ("agent", "export"):
        raise refusal("CLOSING_RECORD", f"{PROOF} is of a record that is not the agent's export")
    if (proof.node_id, proof.log_id) != (manifest.node_id, manifest.log_id):
        raise refusal("IDENTITY", "the closing head is of another node or log than the manifest")
    if export.manifest != examination.hashes[MANIFEST]:
        raise refusal("CLOSING_MANIFEST", f"the log states another {MANIFEST} for this export")
    if (export.first, export.end, export.root) != (manifest.first, manifest.end, manifest.root):
        raise refusal("CLOSING_RANGE", "the log states another range or root for this export")
    examination.passed(f"record {proof.record.seq} of the log holds the manifest's digest")
