"""The node's side of an air gap: what an export needs of it, and receipts that come back.

The verb writes the bundle's file, since only its user may write where he says; the node says what
is in the range, records that it was handed over, and proves that record.
"""

import base64
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from swt3_agent import __version__
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.node_counter import step_once_in_boot
from swt3_agent.errors import AgentError, UsageError
from swt3_agent.protocol.bundle import BUNDLE_FORMAT, CollectorInfo, Tail, encode_text
from swt3_agent.protocol.bundle_evidence import EarlierRecord, SuccessionInfo, encode_earlier
from swt3_agent.protocol.checkpoint import parse_signed_note
from swt3_agent.protocol.compact_range import peaks_of
from swt3_agent.protocol.note import encode_base64
from swt3_agent.protocol.proof import encode_proof
from swt3_agent.store.bundle.boots import boots_in
from swt3_agent.store.bundle.build import Plan
from swt3_agent.store.bundle.counter import counter_before
from swt3_agent.store.bundle.heads import (
    boot_heads,
    head_before,
    heads_between,
    refuse_too_many_after,
)
from swt3_agent.store.exports import Exports, export_draft
from swt3_agent.store.journal import Journal
from swt3_agent.store.key_history import KeyStep, key_steps
from swt3_agent.store.proofs import build_proof

_NAMES_STAY = 2
"""From this clearing level on names of files stay on the node."""


def plan_export(
    node: Node, first: int | None, end: int | None, *, ima: bool = False
) -> dict[str, Any]:
    """Make a head over everything, and say what is in the range; a ``Plan`` as JSON.

    ``first`` None: where the last export ended; ``end`` None: everything there is. ``ima``: with
    IMA logs even where file names are more than may leave.
    Raises UsageError ``BAD_RANGE``, AgentError ``BUNDLE_TOO_LARGE`` where too much follows the
    range or led to it, AgentError with custody's own reason where it does not keep what clearing
    removes, and what making a head raises.
    """
    _refuse_without_custody(node)
    if node.gaps is not None:
        node.gaps.record()
    step_once_in_boot(node.counter, node.boot_id)  # else nothing would vouch for this boot
    node.checkpoint("export", covering=node.journal.size - 1)
    latest = node.heads.latest
    assert latest is not None  # noqa: S101  one was made, or the call had failed
    if first is None:
        exports = node.exports.all()
        first = exports[-1].end if exports else 0
    end = latest.note.size if end is None else end
    if not 0 <= first < end <= latest.note.size:
        raise UsageError(
            "BAD_RANGE",
            f"there are no records {first} to {end} in a log of {latest.note.size}",
            remedy="give --from below --to, and both within the log (`swt3-agent status`)",
        )
    journal, catalogue = node.journal, node.catalogue
    refuse_too_many_after(catalogue, end)
    steps = [step for step in key_steps(journal, catalogue) if step.record.ak_public is not None]
    keys = [encode_base64(step.record.ak_public or b"") for step in steps]
    previous = head_before(journal, catalogue, first)
    level = node.config.clearing_level
    boots = boots_in(journal, catalogue, first, end, ima=ima or level < _NAMES_STAY)
    earlier = counter_before(journal, catalogue, first) | boots.records
    plan = Plan(
        agent_version=__version__,
        node_id=node.node_id,
        log_id=node.log_id,
        tenant=node.config.tenant,
        level=level,
        made_ms=time.time_ns() // 1_000_000,
        first=first,
        end=end,
        root=journal.root(end).hex(),
        peaks=[peak.hex() for peak in peaks_of(journal.range_hash, first)],
        collectors=[
            CollectorInfo(watched.collector.name, round(watched.collector.interval_s * 1000))
            for watched in node.watched
        ],
        boot_heads=base64.b64encode(boot_heads(journal, catalogue, first)).decode(),
        keys=keys,
        log_pcr=node.config.tpm.log_pcr if keys else None,
        previous=previous,
        earlier=[_earlier(journal, seq, end) for seq in sorted(earlier) if seq < first],
        boots=boots.boots,
        successions=_successions(steps),
        logs=boots.logs,
        without_ima=boots.without,
    )
    built: dict[str, Any] = msgspec.to_builtins(plan)
    return built


def close_export(node: Node, manifest: str, first: int, end: int) -> dict[str, Any]:
    """Record that ``[first, end)`` left under this manifest digest; ``proof`` and ``tail`` of it.

    Raises JournalError, TpmError.
    """
    journal, catalogue = node.journal, node.catalogue
    config, root = node.config, journal.root(end).hex()
    draft = export_draft(
        manifest, first, end, root, tenant=config.tenant, level=config.clearing_level
    )
    seq = journal.append([draft]).result().first_seq
    node.checkpoint("export", covering=seq)
    proof = build_proof(journal, catalogue, seq)
    closing = parse_signed_note(proof.note)
    size = closing.note.size
    previous = head_before(journal, catalogue, first)
    earlier = 0 if previous is None else _size_of(previous.checkpoint)
    tail = Tail(
        format=BUNDLE_FORMAT,
        heads=heads_between(journal, catalogue, end, closing.body),
        consistency=[node_hash.hex() for node_hash in journal.consistency(end, size)],
        previous=[node_hash.hex() for node_hash in journal.consistency(earlier, size)],
    )
    return {
        "record": seq,
        "signed": proof.quote is not None,
        "proof": encode_proof(proof).decode(),
        "tail": encode_text(tail).decode(),
    }


def airgap_view(exports: Exports, cursor: int) -> dict[str, Any]:
    """``airgap`` of ``status --json``; ``cursor``: everything before it is settled."""
    every = exports.all()
    waiting = [export for export in every if export.end > cursor]
    last = every[-1] if every else None
    return {
        "last_export": None
        if last is None
        else {
            "record": last.seq,
            "time": last.time_ms,
            "first": last.first,
            "end": last.end,
            "manifest": last.manifest,
        },
        "settled_to": cursor,
        "unreceipted": len(waiting),
        "oldest_unreceipted": waiting[0].first if waiting else None,
    }


def _refuse_without_custody(node: Node) -> None:
    """Nothing is handed on while custody does not keep what clearing removes, as in delivery."""
    if (lack := node.custody.lack) is not None:
        raise AgentError(lack.code, lack.detail, remedy=lack.remedy)


def _earlier(journal: Journal, seq: int, size: int) -> EarlierRecord:
    entry = encode_earlier(journal.read(seq), *journal.leaf_salts(seq))
    return EarlierRecord(entry, [node.hex() for node in journal.inclusion(seq, size)])


def _successions(steps: Sequence[KeyStep]) -> list[SuccessionInfo]:
    """Each key that the one before certified."""
    return [
        SuccessionInfo(
            encode_base64(step.record.ak_public),
            encode_base64(step.record.certification.attest),
            encode_base64(step.record.certification.signature_der),
        )
        for step in steps
        if step.record.ak_public is not None and step.record.certification is not None
    ]


def _size_of(checkpoint: str) -> int:
    return parse_signed_note(checkpoint.encode()).note.size
