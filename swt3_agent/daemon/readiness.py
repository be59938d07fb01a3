"""Why a node is not ready: each reason with a stable code and a remedy; none means ready.

A node is ready when what it says can be relied upon now: its hardware was attested recently and
well, its log takes records and its TPM signs them, and what must leave it does.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from swt3_agent.collect.gpu.collector import GpuCollector
from swt3_agent.collect.platform import PlatformCollector
from swt3_agent.config import NO_TPM
from swt3_agent.daemon.collectors import Watched
from swt3_agent.daemon.coverage import coverage
from swt3_agent.daemon.coverage_collector import CoverageCollector
from swt3_agent.daemon.disk import room_at, shortage
from swt3_agent.daemon.node import Node
from swt3_agent.errors import AgentError
from swt3_agent.protocol.baseline import PLATFORM
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.delivery.lane import LaneState

BOOT_STATE = "AI-HW.3"
HARDWARE = (GpuCollector.name, PlatformCollector.name)
"""The collectors whose word `hardware.attestation_freshness` is about."""
MOST_MARGIN_S = 300.0
"""What a run may take beyond the time at which it is due."""
LATE_S = 3600.0
"""How long a record may wait for a ledger that does not answer."""
QUARANTINE_S = 24 * 3600.0
"""How long a record in quarantine keeps the node from being ready: somebody has to look at it, and
the log keeps it for good."""


def unready(node: Node, now_ms: int | None = None) -> list[Reason]:
    """The reasons as of ``now_ms`` (None: the clock's), the gravest first. It may take as long as
    the disk does: ask from a thread."""
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return [
        *without_trouble(lambda: _journal(node)),
        *without_trouble(lambda: _disk(node)),
        *without_trouble(lambda: _heads(node)),
        *without_trouble(lambda: _attestations(node, now_ms)),
        *without_trouble(lambda: _coverage(node, now_ms)),
        *without_trouble(lambda: _custody(node)),
        *without_trouble(lambda: _delivery(node, now_ms)),
        *without_trouble(lambda: _quarantine(node, now_ms)),
    ]


def without_trouble(check: Callable[[], Iterable[Reason]]) -> Iterator[Reason]:
    """The reasons of ``check``; one that cannot look is a reason itself."""
    try:
        yield from check()
    except AgentError as error:
        yield Reason.of(error)
    except OSError as error:
        detail = f"{error.filename or 'the state directory'}: {error.strerror or error}"
        yield Reason("SYSTEM", detail, "check that path and its disk")


def readiness_view(node: Node, *, discreet: bool) -> dict[str, Any]:
    """``ready`` and the reasons why not; ``discreet`` leaves only their codes."""
    reasons = unready(node)
    if discreet:
        return {"ready": not reasons, "reasons": [{"code": reason.code} for reason in reasons]}
    return {
        "ready": not reasons,
        "reasons": [reason.to_json() for reason in reasons],
    }


def _journal(node: Node) -> Iterator[Reason]:
    failure = node.journal.failure
    if failure is not None:
        yield Reason(failure.code, failure.message, failure.remedy)


def _disk(node: Node) -> Iterator[Reason]:
    lack = shortage(room_at(node.config.state_dir))
    if lack is not None:
        yield lack


def _heads(node: Node) -> Iterator[Reason]:
    lack = node.head_lack
    if lack is not None and node.config.tpm.tcti != NO_TPM:
        reason = lack.reason
        yield replace(reason, detail=f"heads are not signed: {reason.detail}")


def _attestations(node: Node, now_ms: int) -> Iterator[Reason]:
    for watched in node.watched:
        name = watched.collector.name
        if name == CoverageCollector.name:  # _coverage says what it found, as of now
            continue
        run = node.last_runs.get(name)
        if run is None:
            if name in HARDWARE:
                detail = f"{name} has not been attested since the start"
                yield Reason("ATTESTATION_PENDING", detail, "wait for its first run")
            continue
        if now_ms - run.utc_ms > 1000 * longest_age_s(watched, node):
            detail = f"{name} was attested {(now_ms - run.utc_ms) // 1000} s ago"
            remedy = "look for a collector that hangs in the agent's log"
            yield Reason("ATTESTATION_STALE", detail, remedy)
        elif run.failed and not (name == PlatformCollector.name and _wants_no_tpm(node)):
            detail = f"the last attestation of {name} came to FAIL"
            yield Reason("ATTESTATION_FAILED", detail, f"run `swt3-agent attest {name}`")


def _coverage(node: Node, now_ms: int) -> Iterator[Reason]:
    covered = coverage(node, now_ms)
    if covered.missing:
        detail = f"required and never witnessed: {', '.join(covered.missing)}"
        remedy = "configure what witnesses them, or the profile"
        if BOOT_STATE in covered.missing and node.baselines.of(PLATFORM).in_force is None:
            remedy = f"{BOOT_STATE} needs `swt3-agent baseline accept`; else {remedy}"
        yield Reason("COVERAGE_MISSING", detail, remedy)
    if covered.stale:
        detail = f"required and witnessed too long ago: {', '.join(covered.stale)}"
        yield Reason("COVERAGE_STALE", detail, "look for what no longer witnesses them")


def _custody(node: Node) -> Iterator[Reason]:
    lack = node.custody.lack
    if lack is not None:
        yield lack


def _delivery(node: Node, now_ms: int) -> Iterator[Reason]:
    """A lane that a mistake has stopped, or a ledger that has been away for too long."""
    delivery = node.delivery
    if delivery is None:
        return
    state = delivery.state
    if state.lane is LaneState.STOPPED and state.fault is not None:
        yield state.fault
        return
    oldest_ms = node.settlements.backlog().oldest_ms
    if state.fault is not None and oldest_ms is not None and now_ms - oldest_ms > 1000 * LATE_S:
        detail = f"records wait for {state.ledger} for {(now_ms - oldest_ms) // 60_000} minutes"
        yield Reason("DELIVERY_LATE", f"{detail}: {state.fault.detail}", state.fault.remedy)


def longest_age_s(watched: Watched, node: Node) -> float:
    """How old the last run of a collector may be: what was asked for, or two of its intervals."""
    collector = watched.collector
    margin_s = min(collector.timeout_s, MOST_MARGIN_S)
    if collector.name in HARDWARE:
        return node.config.required.attestation_freshness + margin_s
    return 2 * collector.interval_s + collector.timeout_s


def _wants_no_tpm(node: Node) -> bool:
    return node.config.tpm.tcti == NO_TPM


def _quarantine(node: Node, now_ms: int) -> Iterator[Reason]:
    found = node.catalogue.kinds().get(Kind.QUARANTINE)
    if found is None:
        return
    age_s = (now_ms - node.journal.read(found.last_seq).received_ns // 1_000_000) / 1000
    if age_s < QUARANTINE_S:
        yield Reason(
            "QUARANTINE",
            f"{found.count} records are in quarantine, the last of them record {found.last_seq}",
            f"see who sent them in `swt3-agent log`; {QUARANTINE_S / 3600:.0f} h after the last"
            " one the node is ready again",
        )
