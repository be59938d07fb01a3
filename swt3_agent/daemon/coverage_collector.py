"""Coverage as evidence, so that what is required and not witnessed is in the log: AI-LOG.1.

A collector like any other; a node of which nothing is required has none.
"""

import time

from swt3_agent.daemon.collectors import Watched, one
from swt3_agent.daemon.coverage import OpenLog, coverage, coverage_view
from swt3_agent.protocol.appraisal.coverage import COLLECTOR, appraise_coverage
from swt3_agent.protocol.evidence import Evidence, Reading, RootOfTrust

SETTLING_S = 300.0
"""After a start, while other collectors have their first run, a lack is no finding yet."""

_DAY_MS = 86_400_000


class CoverageCollector:
    """Compares what is required of a node with what it witnessed."""

    name = COLLECTOR
    interval_s = 3600.0
    timeout_s = 60.0

    def __init__(self, node: OpenLog, settling_s: float = SETTLING_S) -> None:
        self._node = node
        self._settled = time.monotonic() + settling_s

    def collect(self) -> Reading:
        """The coverage now. Raises JournalError where the log cannot be read."""
        now_ms = time.time_ns() // 1_000_000
        covered = coverage(self._node, now_ms)
        first_ms = self._node.journal.read(0).received_ns // 1_000_000
        claims = {
            **coverage_view(covered),
            "due": covered.due,
            "days": max(0, now_ms - first_ms) // _DAY_MS,
            "settled": time.monotonic() >= self._settled,
        }
        return Evidence(self.name, RootOfTrust.SELF_REPORTED, claims)


def watched_coverage(node: OpenLog) -> tuple[Watched, ...]:
    """The collector of ``node``'s coverage; none where nothing is required."""
    if not node.config.required.procedures:
        return ()
    return (Watched(CoverageCollector(node), one(appraise_coverage)),)
