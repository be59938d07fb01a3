"""Metrics of a node, read at the moment of the scrape.

No label names a tenant, model, agent or client. Procedures that no catalogue knows are counted
together, since clients choose their names; at clearing level 3 all are.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from swt3_agent import __version__
from swt3_agent.daemon.coverage import State, coverage
from swt3_agent.daemon.disk import room_at
from swt3_agent.daemon.families import Values, gauge, samples
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.readiness import unready
from swt3_agent.errors import AgentError
from swt3_agent.protocol.catalogue import CATALOGUE
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.counters import IntakeCounters

SILENT_LEVEL = 3
"""The clearing level at which metrics say nothing of what is witnessed, only how much."""
OTHER = "other"
RELAYED = "relayed"
"""The verdict of what others witnessed: their ledger judges it, not this node."""


def registry(node: Node, intakes: Sequence[IntakeCounters]) -> CollectorRegistry:
    """All metrics of ``node`` and of this process; ``intakes`` count what its listeners took."""
    registry = CollectorRegistry()
    registry.register(NodeMetrics(node, intakes))
    ProcessCollector(namespace="swt3_agent", registry=registry)
    return registry


class NodeMetrics(Collector):
    """Reads ``node`` whenever it is asked; any thread may ask."""

    def __init__(self, node: Node, intakes: Sequence[IntakeCounters]) -> None:
        self._node = node
        self._intakes = intakes

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read the node."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every metric that there is something to say about.

        Where the disk or the log cannot be read, the others: `swt3_unready` then says why.
        """
        node = self._node
        yield samples("swt3_build_info", {(__version__,): 1})
        reasons = unready(node)
        yield gauge("swt3_ready", not reasons)
        yield samples("swt3_unready", {(reason.code,): 1 for reason in reasons})
        yield gauge("swt3_clearing_level", node.config.clearing_level)
        yield from _collectors(node)
        yield from _intake(self._intakes)
        for read in (_witnessed, _coverage, _log, _disk, _delivery):
            with suppress(AgentError, OSError):
                yield from read(node)


def _collectors(node: Node) -> Iterator[Metric]:
    saw, durations, good = Values(), Values(), Values()
    for name, run in list(node.last_runs.items()):
        saw[(name,)] = run.saw
        durations[(name,)] = run.duration_ms / 1000
        if run.good_ms is not None:
            good[(name,)] = run.good_ms / 1000
    yield samples("swt3_collector_success", saw)
    yield samples("swt3_collector_duration_seconds", durations)
    yield samples("swt3_attestation_last_success_timestamp_seconds", good)


def _witnessed(node: Node) -> Iterator[Metric]:
    silent = node.config.clearing_level >= SILENT_LEVEL
    counts: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for (procedure, verdict), count in node.catalogue.verdicts().items():
        named = procedure if procedure in CATALOGUE else OTHER
        told = verdict or RELAYED
        counts[(told,) if silent else (named, told)] += count
    yield samples("swt3_witness_total", counts)


def _coverage(node: Node) -> Iterator[Metric]:
    covered = coverage(node, time.time_ns() // 1_000_000)
    if not covered.required:
        return
    if covered.ratio is not None:
        yield gauge("swt3_profile_coverage_ratio", covered.ratio)
    by_state: Values = {(state.value,): float(len(covered.named(state))) for state in State}
    yield samples("swt3_profile_procedures", by_state)


def _intake(intakes: Sequence[IntakeCounters]) -> Iterator[Metric]:
    rejected: defaultdict[tuple[str, ...], float] = defaultdict(float)
    violations: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for intake in intakes:
        for code, count in list(intake.rejected.items()):
            rejected[(code.value,)] += count
        for rule, count in list(intake.violations.items()):
            violations[(rule,)] += count
    yield samples("swt3_intake_rejected_total", rejected)
    yield gauge("swt3_intake_relayed_total", sum(intake.relayed for intake in intakes))
    yield gauge("swt3_intake_cleared_total", sum(intake.cleared for intake in intakes))
    yield gauge("swt3_intake_connections", sum(intake.connections for intake in intakes))
    yield samples("swt3_tool_violations_total", violations)


def _log(node: Node) -> Iterator[Metric]:
    yield gauge("swt3_log_tree_size", node.journal.size)
    head = node.heads.latest
    if head is not None:
        yield gauge("swt3_checkpoint_timestamp_seconds", head.note.utc_ms / 1000)
    yield gauge("swt3_checkpoint_signed", head is not None and head.signed)
    counter = node.counter.view()
    if counter is not None and counter["value"] is not None:
        yield gauge("swt3_counter_value", counter["value"])
    if counter is not None and counter["certified"] is not None:
        yield gauge("swt3_counter_timestamp_seconds", counter["certified"] / 1000)
    found = node.finding_counts + Counter(node.earlier_findings)
    yield samples("swt3_findings_total", {(code,): count for code, count in found.items()})
    quarantine = node.catalogue.kinds().get(Kind.QUARANTINE)
    yield gauge("swt3_quarantined_records", 0 if quarantine is None else quarantine.count)


def _disk(node: Node) -> Iterator[Metric]:
    yield gauge("swt3_disk_free_bytes", room_at(node.config.state_dir).free_bytes)


def _delivery(node: Node) -> Iterator[Metric]:
    yield gauge("swt3_custody_available", node.custody.lack is None)
    backlog = node.settlements.backlog()
    yield gauge("swt3_delivery_backlog_records", backlog.records)
    if backlog.oldest_ms is not None:
        yield gauge("swt3_delivery_oldest_timestamp_seconds", backlog.oldest_ms / 1000)
    yield gauge("swt3_delivery_refused_records", node.settlements.counts.refused)
    delivery = node.delivery
    if delivery is not None:
        yield gauge("swt3_delivery_up", delivery.state.fault is None)
