"""What waits for the ledger, what it refused, and orders to the lane (docs/formats.md, "JSON")."""

from collections.abc import Container, Sequence
from typing import Any

from swt3_agent.config import Config
from swt3_agent.daemon.delivery import Delivery, DeliveryState
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.stopped import stopped_log
from swt3_agent.errors import UsageError
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Journal
from swt3_agent.store.settlements import Refusal, Settlements

MOST_SHOWN = 100
MOST_RETRIED = 10_000
"""Refused records that one order sends again; the rest waits for the next order."""

NO_LEDGER = "none"
"""The state of a lane that is not there."""
NOT_RUNNING = "not-running"


def delivery_view(node: Node) -> dict[str, Any]:
    """``delivery`` of ``status --json``."""
    return _delivery(node.settlements, _state_of(node), NO_LEDGER)


def queue_view(node: Node) -> dict[str, Any]:
    """``queue --json``: the same, and the newest refused records."""
    return {**delivery_view(node), "refused_records": _refused(node.settlements)}


def stopped_delivery_view(config: Config, journal: Journal, catalogue: Catalogue) -> dict[str, Any]:
    """``delivery`` of ``status --json`` where no daemon runs."""
    return _delivery(Settlements(journal, catalogue), None, _lane_of_stopped(config))


def stopped_queue_view(config: Config) -> dict[str, Any]:
    """``queue --json`` where no daemon runs: what the log says, read under its lock.

    Raises StateError or JournalError where there is no readable log.
    """
    with stopped_log(config) as log:
        settlements = Settlements(log.journal, log.catalogue)
        view = _delivery(settlements, None, _lane_of_stopped(config))
        return {**view, "refused_records": _refused(settlements)}


def retry(node: Node, records: Sequence[int] | None) -> dict[str, int]:
    """Have ``records``, which were refused, sent again; None means all, the newest first.

    Raises UsageError ``NO_LEDGER``, ``NOT_REFUSED``.
    """
    delivery = _delivery_of(node)
    settlements = node.settlements
    total = settlements.counts.refused
    if records is None:
        records = [found.receipt.seq for found in settlements.refused(MOST_RETRIED)]
    else:
        _refuse_others(records, settlements.still_refused(records))
        total = len(records)
    delivery.retry(records)
    return {"retried": len(records), "left": total - len(records)}


def resume(node: Node) -> dict[str, Any]:
    """Have the lane try now. Raises UsageError ``NO_LEDGER``."""
    _delivery_of(node).resume()
    return {"resumed": True}


def _delivery_of(node: Node) -> Delivery:
    delivery = node.delivery  # read once: a reload may end it
    if delivery is None:
        raise UsageError(
            "NO_LEDGER", "this node delivers to no ledger", remedy="configure `endpoint` and a key"
        )
    return delivery


def _state_of(node: Node) -> DeliveryState | None:
    delivery = node.delivery
    return None if delivery is None else delivery.state


def _lane_of_stopped(config: Config) -> str:
    return NO_LEDGER if config.ledger is None else NOT_RUNNING


def _delivery(settlements: Settlements, state: DeliveryState | None, lane: str) -> dict[str, Any]:
    backlog, counts = settlements.backlog(), settlements.counts
    fault = None if state is None else state.fault
    return {
        "ledger": None if state is None else state.ledger,
        "lane": lane if state is None else state.lane.value,
        "backlog": backlog.records,
        "oldest": backlog.oldest_ms,
        "last_success": None if state is None else state.last_success_ms,
        "error": None
        if fault is None or state is None
        else {**fault.to_json(), "since": state.since_ms},
        "settled": counts.settled,
        "refused": counts.refused,
        "withheld": counts.withheld,
        "differing": counts.differing,
    }


def _refused(settlements: Settlements) -> list[dict[str, Any]]:
    return [_refusal(found) for found in settlements.refused(MOST_SHOWN)]


def _refusal(found: Refusal) -> dict[str, Any]:
    return {
        "record": found.receipt.seq,
        "error": found.receipt.error,
        "by": found.by,
        "source": found.source,
        "receipt": found.record,
    }


def _refuse_others(records: Sequence[int], refused: Container[int]) -> None:
    for seq in records:
        if seq not in refused:
            raise UsageError(
                "NOT_REFUSED",
                f"record {seq} is not one that was refused",
                remedy="see `swt3-agent queue` for those that are",
            )
