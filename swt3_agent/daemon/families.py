"""Every metric that there is: name, kind, labels and meaning (docs/operations.md, "Metrics")."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Values = dict[tuple[str, ...], float]
"""Samples by the values of their labels."""


class Sort(Enum):
    """What its samples do: go up and down, or only up."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric; ``name`` is that of its samples, so a counter's ends in ``_total``."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    sort: Sort = Sort.GAUGE


_ALL = (
    Family("swt3_build_info", "1; the label tells the version of the agent.", ("version",)),
    Family("swt3_ready", "1 when /readyz answers 200."),
    Family("swt3_unready", "1 for each reason why the node is not ready.", ("reason",)),
    Family("swt3_clearing_level", "Clearing level of this node, 0 to 3."),
    Family(
        "swt3_collector_success",
        "1 when the last run of the collector had evidence.",
        ("collector",),
    ),
    Family(
        "swt3_collector_duration_seconds",
        "How long the last run of the collector took.",
        ("collector",),
    ),
    Family(
        "swt3_attestation_last_success_timestamp_seconds",
        "When the collector last came to no FAIL since the start.",
        ("collector",),
    ),
    Family(
        "swt3_witness_total",
        "Anchors in the log, by procedure (not at clearing level 3) and verdict.",
        ("procedure", "verdict"),
        Sort.COUNTER,
    ),
    Family(
        "swt3_profile_coverage_ratio",
        "Share of the required procedures that is freshly witnessed, 0 to 1.",
    ),
    Family(
        "swt3_profile_procedures",
        "Required procedures by state: fresh, stale, missing, or awaited (no event yet).",
        ("state",),
    ),
    Family(
        "swt3_intake_rejected_total",
        "Requests and records that the listeners refused, by the code of the answer.",
        ("reason",),
        Sort.COUNTER,
    ),
    Family(
        "swt3_intake_relayed_total",
        "Records that the listeners took since the start.",
        sort=Sort.COUNTER,
    ),
    Family(
        "swt3_intake_cleared_total",
        "Records of which something had to be cleared since the start.",
        sort=Sort.COUNTER,
    ),
    Family("swt3_intake_connections", "Connections of clients that are open."),
    Family(
        "swt3_tool_violations_total",
        "What `check` had against tool calls since the start, by rule.",
        ("rule",),
        Sort.COUNTER,
    ),
    Family("swt3_quarantined_records", "Records in the log that were refused and kept aside."),
    Family("swt3_log_tree_size", "Records in the log."),
    Family("swt3_checkpoint_timestamp_seconds", "When the newest head of the log was made."),
    Family("swt3_checkpoint_signed", "1 when a TPM signed the newest head."),
    Family(
        "swt3_counter_value",
        "Value of the TPM's counter of this log; absent where none is kept.",
    ),
    Family("swt3_counter_timestamp_seconds", "When the counter was last certified."),
    Family(
        "swt3_findings_total",
        "What an assessor should know of this log and TPM, found in this boot.",
        ("code",),
        Sort.COUNTER,
    ),
    Family("swt3_custody_available", "0 while custody cannot keep what clearing removes."),
    Family(
        "swt3_delivery_backlog_records",
        "Records that no ledger and no importer has settled yet.",
    ),
    Family(
        "swt3_delivery_oldest_timestamp_seconds",
        "When the oldest of them was recorded; absent where there is none.",
    ),
    Family("swt3_delivery_refused_records", "Records that the ledger refused for good."),
    Family("swt3_delivery_up", "1 while nothing hinders delivery; absent without a ledger."),
    Family("swt3_disk_free_bytes", "Room that is left where the state directory lies."),
)
FAMILIES: Mapping[str, Family] = {family.name: family for family in _ALL}


def gauge(name: str, value: float) -> Metric:
    """The metric with its one sample."""
    return samples(name, {(): float(value)})


def samples(name: str, values: Mapping[tuple[str, ...], float]) -> Metric:
    """The metric with a sample for each of ``values``.

    Label values shorter than its labels stand for the last of them.
    """
    family = FAMILIES[name]
    count = min(map(len, values), default=len(family.labels))
    labels = family.labels[len(family.labels) - count :]
    kind = CounterMetricFamily if family.sort is Sort.COUNTER else GaugeMetricFamily
    metric = kind(name, family.help, labels=labels)
    for key, value in sorted(values.items()):
        metric.add_metric(key, value)
    return metric
