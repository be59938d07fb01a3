"""JSON shapes of what a node has to say (docs/formats.md, "JSON")."""

import os
from typing import Any

from swt3_agent.daemon.node import Node
from swt3_agent.pipeline import Attestation


def attestation_view(attestation: Attestation) -> dict[str, Any]:
    """One entry of ``attest --json``. Factors, fingerprint and token are null if none is minted."""
    appraisal = attestation.appraisal
    a, b, c = appraisal.factors or (None, None, None)
    return {
        "schema": "swt3-agent/attest/1",
        "collector": appraisal.collector,
        "subject": appraisal.subject,
        "procedure_id": appraisal.procedure_id,
        "factor_a": a,
        "factor_b": b,
        "factor_c": c,
        "verdict": appraisal.outcome.value,
        "reasons": [
            {"code": reason.code, "detail": reason.detail, "remedy": reason.remedy}
            for reason in appraisal.reasons
        ],
        "root_of_trust": appraisal.root_of_trust.value,
        "anchor_fingerprint": attestation.fingerprint,
        "anchor_token": attestation.token,
        "record": attestation.record,
        "evidence_record": attestation.evidence_record,
        "duration_ms": attestation.duration_ms,
    }


def status_view(node: Node) -> dict[str, Any]:
    """``status --json`` of a node that is open."""
    size = node.journal.size
    head = node.heads.latest
    tpm: dict[str, Any] = {"kind": "none"}
    if node.tpm_identity is not None:
        tpm = {
            "kind": node.tpm_identity.kind.value,
            "manufacturer": node.tpm_identity.manufacturer,
            "firmware": node.tpm_identity.firmware,
        }
    elif node.tpm_lack is not None:
        tpm["detail"] = f"{node.tpm_lack.code}: {node.tpm_lack}"
    return {
        "running": True,
        "pid": os.getpid(),
        "node_id": node.node_id,
        "tenant": node.config.tenant,
        "clearing_level": node.config.clearing_level,
        "tpm": tpm,
        "log": {
            "log_id": node.log_id,
            "tree_size": size,
            "root": node.journal.root(size).hex(),
            "checkpoint_time": None if head is None else head.note.utc_ms,
            "checkpoint_size": None if head is None else head.note.size,
            "checkpoint_signed": head is not None and head.signed,
        },
        "collectors": [
            {
                "name": watched.collector.name,
                "interval_s": watched.collector.interval_s,
                "last_run": None if last is None else last.utc_ms,
                "outcome": None if last is None else ", ".join(last.outcomes),
                "duration_ms": None if last is None else last.duration_ms,
            }
            for watched in node.watched
            for last in [node.last_runs.get(watched.collector.name)]
        ],
        "findings": [{"code": f.code, "detail": f.detail} for f in node.findings],
        "intake": node.intake_counters(),
    }
