"""Gap records: what the intake did not take, said in the log itself (docs/formats.md, "Payloads").

Counters only rise while a daemon runs; a gap record holds what they rose by since the last one. A
log in which nothing was refused has none.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from swt3_agent.errors import AgentError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.gaps import Gap
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.store.drafts import Draft
from swt3_agent.store.journal import Journal
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)

PERIOD_S = 60.0
"""How often a daemon looks whether there is something to say."""

_PROVENANCE = canonical_json({"listener": "agent"})


@dataclass(slots=True)
class _Seen:
    at_ms: int
    refused: Counter[str] = field(default_factory=Counter)
    evicted: int = 0


class GapRecorder:
    """Writes the gap records of some listeners; any thread may ask for them."""

    def __init__(self, journal: Journal, listeners: Mapping[str, IntakeCounters]) -> None:
        self._journal = journal
        self._listeners = dict(listeners)
        self._lock = threading.Lock()
        now_ms = _now_ms()
        self._seen = {name: _Seen(now_ms) for name in self._listeners}

    def record(self) -> None:
        """Record what was not taken since the last time, where there is something.

        Where that cannot be stored it is logged, and counted with the next one.
        """
        with self._lock:
            for name, counters in self._listeners.items():
                gap, seen = self._gap(name, counters, self._seen[name])
                if gap is None:
                    continue
                try:
                    draft = Draft(Kind.GAP, _PROVENANCE, gap.payload())
                    self._journal.append([draft]).result()
                except AgentError as error:
                    logger.error(
                        "no gap record %s", fields(Event.GAP_UNRECORDED, code=error.code, why=error)
                    )
                else:
                    self._seen[name] = seen

    @staticmethod
    def _gap(name: str, counters: IntakeCounters, last: _Seen) -> tuple[Gap | None, _Seen]:
        refused = Counter({code.value: n for code, n in dict(counters.rejected).items()})
        now = _Seen(_now_ms(), refused, counters.evicted)
        more = refused - last.refused  # counts only rise, so nothing is lost below zero
        evicted = now.evicted - last.evicted
        if not (more or evicted):
            return None, now
        gap = Gap(name, last.at_ms, now.at_ms, dict(sorted(more.items())), 0, evicted)
        return gap, now


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
