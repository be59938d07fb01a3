"""JSON shapes of what a node has to say (docs/formats.md, "JSON")."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from swt3_agent.config import Config
from swt3_agent.daemon.airgap import airgap_view
from swt3_agent.daemon.baseline import baseline_summary
from swt3_agent.daemon.coverage import coverage, coverage_of, coverage_view
from swt3_agent.daemon.custody import custody_view
from swt3_agent.daemon.earlier_findings import count_earlier_findings, earlier_findings_view
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.node_counter import counter_view
from swt3_agent.daemon.queue import delivery_view, stopped_delivery_view
from swt3_agent.daemon.readiness import readiness_view
from swt3_agent.daemon.runs import LastRun
from swt3_agent.daemon.start_records import findings_content
from swt3_agent.daemon.stopped import stopped_log
from swt3_agent.pipeline import Attestation
from swt3_agent.protocol.checkpoint import parse_body
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.store.baselines import Baselines
from swt3_agent.store.catalogue import Catalogue, HeadEntry
from swt3_agent.store.counter_records import last_step
from swt3_agent.store.exports import Exports
from swt3_agent.store.journal import Journal
from swt3_agent.store.settlements import Settlements


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
        "reasons": [reason.to_json() for reason in appraisal.reasons],
        "root_of_trust": appraisal.root_of_trust.value,
        "anchor_fingerprint": attestation.fingerprint,
        "anchor_token": attestation.token,
        "record": attestation.record,
        "evidence_record": attestation.evidence_record,
        "baseline_record": appraisal.baseline,
        "duration_ms": attestation.duration_ms,
    }


def status_view(node: Node, intake: IntakeCounters | None) -> dict[str, Any]:
    """``status --json`` of a node that is open; ``intake`` None where it takes no anchors."""
    size = node.journal.size
    head, lack = node.heads.latest, node.head_lack
    tpm: dict[str, Any] = {"kind": "none"}
    if node.tpm_identity is not None:
        tpm = {
            "kind": node.tpm_identity.kind.value,
            "manufacturer": node.tpm_identity.manufacturer,
            "firmware": node.tpm_identity.firmware,
        }
        if node.tpm_identity.kind is RootOfTrust.SOFTWARE_TPM:
            tpm["detail"] = "no root of trust: whoever runs it can sign anything"
    elif node.tpm_lack is not None:
        tpm["detail"] = f"{node.tpm_lack.code}: {node.tpm_lack}"
    return {
        "running": True,
        "readiness": readiness_view(node, discreet=False),
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
            "checkpoint_error": None
            if lack is None
            else {**lack.reason.to_json(), "since": lack.since_ms},
        },
        "counter": node.counter.view(),
        "collectors": [
            {
                "name": watched.collector.name,
                "interval_s": watched.collector.interval_s,
                "last_run": None if last is None else last.utc_ms,
                "outcome": None if last is None else ", ".join(last.outcomes),
                "appraisals": [] if last is None else _appraisals_view(last),
                "duration_ms": None if last is None else last.duration_ms,
            }
            for watched in node.watched
            for last in [node.last_runs.get(watched.collector.name)]
        ],
        "coverage": coverage_view(coverage(node, time.time_ns() // 1_000_000)),
        "baseline": baseline_summary(node.config, node.baselines, node.journal),
        "delivery": delivery_view(node),
        "airgap": airgap_view(node.exports, node.settlements.cursor),
        "custody": custody_view(node),
        "findings": earlier_findings_view(node.earlier_findings)
        + findings_content(tuple(node.findings)),
        "intake": None if intake is None else _intake_view(intake),
    }


def _appraisals_view(last: LastRun) -> list[dict[str, Any]]:
    """What each outcome of a run is about."""
    appraisals = (attestation.appraisal for attestation in last.attestations)
    return [
        {
            "procedure_id": appraisal.procedure_id,
            "subject": appraisal.subject,
            "verdict": appraisal.outcome.value,
        }
        for appraisal in appraisals
    ]


def _intake_view(counters: IntakeCounters) -> dict[str, Any]:
    rejected = {code.value: count for code, count in counters.rejected.items()}
    return {
        "connections": counters.connections,
        "requests": counters.requests,
        "relayed": counters.relayed,
        "quarantined": counters.quarantined,
        "cleared": counters.cleared,
        "rejected": rejected,
        "violations": dict(counters.violations),
    }


def stopped_view(config: Config) -> dict[str, Any]:
    """``status --json`` where no daemon runs: what the log says, read under its lock.

    Raises StateError or JournalError where there is no readable log.
    """
    with stopped_log(config) as log:
        journal, catalogue = log.journal, log.catalogue
        boot_record = catalogue.last_of_kind(Kind.BOOT)
        boot = {} if boot_record is None else _payload(journal, boot_record)
        heads = catalogue.heads(newest=1)
        size = journal.size
        return {
            "running": False,
            "readiness": None,
            "pid": None,
            "node_id": boot.get("node_id"),
            "tenant": boot.get("tenant", config.tenant),
            "clearing_level": boot.get("clearing_level", config.clearing_level),
            "tpm": boot.get("tpm") or {"kind": "none"},
            "log": {
                "log_id": boot.get("log_id"),
                "tree_size": size,
                "root": journal.root(size).hex(),
                "checkpoint_time": _head_time(journal, heads[0]) if heads else None,
                "checkpoint_size": heads[0].size if heads else None,
                "checkpoint_signed": bool(heads) and heads[0].quote_seq is not None,
                "checkpoint_error": None,
            },
            "counter": counter_view(last_step(journal, catalogue)),
            "collectors": [],
            "coverage": coverage_view(
                coverage_of(config, journal, catalogue, time.time_ns() // 1_000_000)
            ),
            "baseline": baseline_summary(config, Baselines(journal, catalogue), journal),
            "delivery": stopped_delivery_view(config, journal, catalogue),
            "airgap": airgap_view(
                Exports(journal, catalogue), Settlements(journal, catalogue).cursor
            ),
            "custody": None,
            "findings": earlier_findings_view(_findings_of_boot(journal, catalogue, boot)),
            "intake": None,
        }


def _findings_of_boot(
    journal: Journal, catalogue: Catalogue, boot: Mapping[str, Any]
) -> dict[str, int]:
    return count_earlier_findings(journal, catalogue, str(boot.get("boot_id")))


def _payload(journal: Journal, seq: int) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(journal.read(seq).payload)
    return payload


def _head_time(journal: Journal, head: HeadEntry) -> int:
    body = str(_payload(journal, head.note_seq)["body"])
    return parse_body(body.encode()).utc_ms
