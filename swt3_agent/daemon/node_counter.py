"""When the counter is stepped, and what hinders it (docs/formats.md, "Counter").

At the start, once in every ``agent.intervals.counter``, and at a clean stop. A step takes three
signatures of the TPM, one at a time, so that whoever waits for a proof gets his turn in between.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from swt3_agent.config import Config
from swt3_agent.daemon.back_off import BackOff
from swt3_agent.daemon.node_heads import HeadLack, NodeHeads
from swt3_agent.errors import AgentError
from swt3_agent.protocol.evidence import Reason
from swt3_agent.store.counter_records import LastCertificate
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)


class NodeCounter:
    """Steps the counter, one step at a time; any thread may ask.

    ``lack`` says why it is not stepped; None while it is. What interrupts a step is no harm: the
    next one finds out how far it came.
    """

    def __init__(
        self,
        heads: NodeHeads,
        config: Callable[[], Config],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lack: HeadLack | None = None
        self._heads = heads
        self._config = config
        self._now = now
        self._lock = threading.Lock()
        self._stepped: float | None = None
        self._back_off = BackOff(now)

    @property
    def is_due(self) -> bool:
        """Whether a step is to be taken by the clock, the first of this run or the next."""
        if self._heads.counter is None:  # nothing counts here, or not yet
            return False
        if self._stepped is None or self.lack is not None:
            return self._back_off.due and not self._follows_a_crash()
        return self._now() - self._stepped >= self._config().intervals.counter

    def _follows_a_crash(self) -> bool:
        """Whether a run of this boot stepped it lately and never came to its end: what crashes and
        is started again all day must not wear the TPM's memory out."""
        last = None if self._heads.counter is None else self._heads.counter.last
        if last is None or last.boot_id != self._heads.boot_id or last.reason == "stop":
            return False
        age_s = time.time() - last.at_ms / 1000
        return self._stepped is None and 0 <= age_s < self._config().intervals.counter

    @property
    def has_stepped(self) -> bool:
        """Whether a step was taken in this run."""
        return self._stepped is not None

    @property
    def last_boot(self) -> str | None:
        """The boot in which the newest step was taken; None where there is none."""
        counter = self._heads.counter
        return None if counter is None or counter.last is None else counter.last.boot_id

    def step(self, reason: str) -> None:
        """Take one step, where there is a counter. Raises TpmError or JournalError."""
        with self._lock:
            if self._heads.counter is None:
                return
            try:
                counter, opened = self._heads.open_counter()
                counter.step(opened, reason, self._heads)
            except AgentError as error:
                self._back_off.failed()
                since_ms = time.time_ns() // 1_000_000 if self.lack is None else self.lack.since_ms
                self.lack = HeadLack(Reason.of(error), since_ms)
                raise
            self._stepped = self._now()
            self._back_off = BackOff(self._now)
            self.lack = None

    def public(self) -> bytes:
        """The counter's TPMS_NV_PUBLIC. Raises TpmError or JournalError, also where there is none.

        It takes its turn with the steps: a counter that is gone is defined anew, and that is told.
        """
        with self._lock:
            counter, _ = self._heads.open_counter()
            return counter.public

    def view(self) -> dict[str, Any] | None:
        """``counter`` of ``status``; None where none is kept."""
        counter, lack = self._heads.counter, self.lack
        if counter is None:
            return None
        stated, last = counter.stated, counter.last
        error = None
        if lack is not None:
            error = {**lack.reason.to_json(), "since": lack.since_ms}
        return {
            "index": f"{counter.index:08x}",
            "value": None if stated is None else stated.value,
            "certified": None if last is None else last.at_ms,
            "unprotected_from": 0 if last is None else last.size,
            "error": error,
        }


def counter_view(last: LastCertificate | None) -> dict[str, Any] | None:
    """The same from the newest step in the log; None where it has none."""
    if last is None:
        return None
    return {
        "index": f"{last.stated.index:08x}",
        "value": last.stated.value,
        "certified": last.at_ms,
        "unprotected_from": last.size,
        "error": None,
    }


def step_once_in_boot(node_counter: NodeCounter, boot_id: str) -> None:
    """Step the counter where it took no step yet in this boot: another history could have had
    a boot to itself that has none. For a node that does not stay, and before a bundle leaves."""
    if node_counter.last_boot != boot_id:
        step_counter(node_counter, "start")


def step_counter(node_counter: NodeCounter, reason: str) -> None:
    """Step the counter; what hinders it is logged, once: ``status`` says since when."""
    known = node_counter.lack
    try:
        node_counter.step(reason)
    except AgentError as error:
        if known is None or known.reason.code != error.code:
            told = fields(Event.COUNTER_FAILED, code=error.code, why=error, remedy=error.remedy)
            logger.warning("counter not stepped %s", told)
