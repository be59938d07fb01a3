"""Metrics of a node, read at the moment of the scrape (docs/operations.md, "Metrics").

No label names a tenant, model, agent or client. Procedures that no catalogue knows are counted
together, since clients choose their names; at clearing level 3 all are.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from swt3_agent import __version__
from swt3_agent.daemon.coverage import State, coverage
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.readiness import unready
from swt3_agent.protocol.procedures import PROCEDURES
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.counters import IntakeCounters

SILENT_LEVEL = 3
"""The clearing level at which metrics say nothing of what is witnessed, only how much."""
Values = dict[tuple[str, ...], float]
"""Sample by label values."""

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
        """Every metric that there is something to say about. Raises JournalError."""
        node = self._node
        yield _labelled(
            "swt3_build_info",
            "1; the label tells the version of the agent.",
            ("version",),
            {(__version__,): 1},
        )
        yield from _collector_metrics(node)
        yield self._witnessed()
        yield _gauge(
            "swt3_clearing_level",
            "Clearing level of this node, 0 to 3.",
            node.config.clearing_level,
        )
        yield self._rejected()
        yield from _log_metrics(node)
        yield from _coverage_metrics(node)
        reasons = unready(node)
        yield _gauge("swt3_ready", "1 when /readyz answers 200.", not reasons)
        yield _labelled(
            "swt3_unready",
            "1 for each reason why the node is not ready.",
            ("reason",),
            dict.fromkeys({(reason.code,) for reason in reasons}, 1),
        )

    def _witnessed(self) -> Metric:
        silent = self._node.config.clearing_level >= SILENT_LEVEL
        counts: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for (procedure, verdict), count in self._node.catalogue.verdicts().items():
            named = procedure if procedure in PROCEDURES else OTHER
            told = verdict or RELAYED
            counts[(told,) if silent else (named, told)] += count
        return _counter(
            "swt3_witness",
            "Anchors in the log, by procedure (not at clearing level 3) and verdict.",
            ("verdict",) if silent else ("procedure", "verdict"),
            counts,
        )

    def _rejected(self) -> Metric:
        counts: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for intake in self._intakes:
            for code, count in list(intake.rejected.items()):
                counts[(code.value,)] += count
        return _counter(
            "swt3_intake_rejected",
            "Requests and records that the intake refused, by the code of the answer.",
            ("reason",),
            counts,
        )


def _collector_metrics(node: Node) -> Iterator[Metric]:
    saw, durations, good = Values(), Values(), Values()
    for name, run in list(node.last_runs.items()):
        saw[(name,)] = float(run.saw)
        durations[(name,)] = run.duration_ms / 1000
        if run.good_ms is not None:
            good[(name,)] = run.good_ms / 1000
    yield _labelled(
        "swt3_collector_success",
        "1 when the last run of the collector had evidence.",
        ("collector",),
        saw,
    )
    yield _labelled(
        "swt3_collector_duration_seconds",
        "How long the last run of the collector took.",
        ("collector",),
        durations,
    )
    yield _labelled(
        "swt3_attestation_last_success_timestamp_seconds",
        "When the collector last came to no FAIL since the start.",
        ("collector",),
        good,
    )


def _coverage_metrics(node: Node) -> Iterator[Metric]:
    covered = coverage(node, time.time_ns() // 1_000_000)
    if not covered.required:
        return
    if covered.ratio is not None:
        yield _gauge(
            "swt3_profile_coverage_ratio",
            "Share of the required procedures that is freshly witnessed, 0 to 1.",
            covered.ratio,
        )
    yield _labelled(
        "swt3_profile_procedures",
        "Required procedures by state: fresh, stale, missing, or awaited (no event yet).",
        ("state",),
        {(state.value,): float(len(covered.named(state))) for state in State},
    )


def _log_metrics(node: Node) -> Iterator[Metric]:
    yield _gauge("swt3_log_tree_size", "Records in the log.", node.journal.size)
    head = node.heads.latest
    if head is not None:
        yield _gauge(
            "swt3_checkpoint_timestamp_seconds",
            "When the newest head of the log was made.",
            head.note.utc_ms / 1000,
        )
    yield _gauge(
        "swt3_checkpoint_signed",
        "1 when a TPM signed the newest head.",
        head is not None and head.signed,
    )
    quarantine = node.catalogue.kinds().get(Kind.QUARANTINE)
    yield _gauge(
        "swt3_quarantined_records",
        "Records in the log that were refused and kept aside.",
        0 if quarantine is None else quarantine.count,
    )


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=float(value))


def _labelled(name: str, documentation: str, labels: Sequence[str], values: Values) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def _counter(name: str, documentation: str, labels: Sequence[str], values: Values) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family
