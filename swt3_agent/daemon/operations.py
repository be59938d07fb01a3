"""What the command line can ask of a node, as JSON-ready answers.

The daemon serves these on its control socket; who else answers is in
:mod:`swt3_agent.daemon.asking`.
"""

import base64
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from swt3_agent.daemon import baseline, control
from swt3_agent.daemon.airgap import close_export, plan_export
from swt3_agent.daemon.boot_logs import boot_log, ima_log
from swt3_agent.daemon.custody import custody_view, rotate_custody
from swt3_agent.daemon.enrolment import enrolment_answer, enrolment_request
from swt3_agent.daemon.history import Question, history
from swt3_agent.daemon.keys import keys_view, retire, rotate
from swt3_agent.daemon.merkle import merkle
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.queue import queue_view, resume, retry
from swt3_agent.daemon.readiness import readiness_view
from swt3_agent.daemon.receipts import import_receipts
from swt3_agent.daemon.statement import statement
from swt3_agent.daemon.views import attestation_view, status_view
from swt3_agent.errors import TpmError, UsageError
from swt3_agent.protocol.checkpoint import parse_signed_note
from swt3_agent.protocol.pcr_values import pcrs_text
from swt3_agent.protocol.proof import encode_proof
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.store.proofs import build_proof, successions_to
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.public import parse_public

_FINGERPRINT = re.compile("[0-9A-Fa-f]{12}")
_SEQUENCE_NUMBER = re.compile("[0-9]{1,19}")


def operations(
    node: Node, intake: Callable[[], IntakeCounters] | None = None
) -> dict[str, control.Operation]:
    """The questions that ``node`` answers, by name; ``intake`` None where it takes no anchors."""
    return {
        "status": lambda: status_view(node, intake and intake()),
        "readiness": lambda: readiness_view(node, discreet=False),
        "attest": lambda collectors: attest(node, collectors),
        "prove": lambda record, hide_provenance: prove(node, record, hide_provenance),
        "quote": lambda nonce: quote(node, nonce),
        "boot_log": lambda: boot_log(node),
        "ima_log": lambda: ima_log(node),
        "statement": lambda record: statement(node, record),
        "enrol_request": lambda: enrolment_request(node),
        "enrol_answer": lambda challenge: enrolment_answer(node, challenge),
        "keys": lambda: keys_view(node),
        "keys_rotate": lambda reason, lost: rotate(node, reason, lost),
        "keys_retire": lambda key, reason: retire(node, key, reason),
        "custody": lambda: custody_view(node),
        "custody_rotate": lambda: rotate_custody(node),
        "history": lambda **question: history(
            node.journal, node.catalogue, node.evidence, Question(**question), node.breath
        ),
        "merkle": lambda date, fingerprint: merkle(node.days, date, fingerprint),
        "baseline": lambda: baseline.baseline_view(node.config, node.baselines, node.journal),
        "baseline_accept": lambda **wanted: baseline.accept(node, **wanted),
        "baseline_confirm": lambda reason: baseline.confirm(node, reason=reason),
        "baseline_retract": lambda **wanted: baseline.retract(node, **wanted),
        "baseline_diff": lambda: baseline.diff(node),
        "queue": lambda: queue_view(node),
        "queue_retry": lambda records: retry(node, records),
        "queue_resume": lambda: resume(node),
        "plan_export": lambda first, end, ima: plan_export(node, first, end, ima=ima),
        "import_receipts": lambda text: import_receipts(node, text),
        "close_export": lambda manifest, first, end: close_export(node, manifest, first, end),
    }


def attest(node: Node, collectors: Sequence[str]) -> list[dict[str, Any]]:
    """Run the named collectors, or all; one entry for each appraisal."""
    return [attestation_view(attestation) for attestation in node.attest(collectors)]


def prove(node: Node, record: str, hide_provenance: bool) -> dict[str, Any]:
    """A proof of one record by a head made for it now; no proof where several are meant."""
    records = _records_named(node, record)
    if len(records) > 1:
        return {"records": records, "proof": None}
    node.checkpoint("prove", covering=records[0])
    proof = build_proof(
        node.journal,
        node.catalogue,
        records[0],
        hide_provenance=hide_provenance,
        with_previous=True,
    )
    return {
        "records": records,
        "proof": encode_proof(proof).decode(),
        "size": parse_signed_note(proof.note).note.size,
        "signed": proof.quote is not None,
    }


def _records_named(node: Node, record: str) -> list[int]:
    if _FINGERPRINT.fullmatch(record):
        found = node.catalogue.find_fingerprint(record.lower())
    elif _SEQUENCE_NUMBER.fullmatch(record):
        found = [int(record)] if int(record) < node.journal.size else []
    else:
        raise UsageError(
            "BAD_RECORD",
            f"{record!r} is neither a sequence number nor a fingerprint",
            remedy="give a number from `swt3-agent log`, or 12 hex digits",
        )
    if not found:
        raise UsageError(
            "NO_SUCH_RECORD", f"no record {record} in this log", remedy="see `swt3-agent log`"
        )
    return found


def quote(node: Node, nonce: str) -> dict[str, Any]:
    """The TPM's signature over a challenge and its PCRs (docs/formats.md, "Challenge quote")."""
    node.reach_tpm()
    if node.tpm is None or node.tpm_identity is None:
        assert node.tpm_lack is not None  # noqa: S101  opening sets one or the other
        lack = node.tpm_lack
        raise TpmError(lack.code, lack.message, remedy=lack.remedy)  # one object keeps every trace
    answer = node.tpm.challenge(bytes.fromhex(nonce))
    public = parse_public(answer.ak_public)
    return {
        "ak_pem": public.to_pem(),
        "ak_public": base64.b64encode(answer.ak_public).decode(),
        "successions": msgspec.to_builtins(
            successions_to(node.journal, node.catalogue, answer.ak_public)
        ),
        "ak_name": public.name().hex(),
        "attest": base64.b64encode(answer.attest).decode(),
        "signature": base64.b64encode(answer.signature_tpmt).decode(),
        "pcrs": pcrs_text(answer.pcrs),
        "root_of_trust": node.tpm_identity.kind.value,
        "reset_count": parse_attest(answer.attest).reset_count,
    }
