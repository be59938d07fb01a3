"""The books of a client: one anchor, one outcome."""

import itertools
import logging
import threading
import time
from collections import deque
from typing import Any

from swt3_agent.client.stats import ClientStats

_log = logging.getLogger("swt3_agent.client")


class Tally:
    """Counts, and lets others wait for them. Only the delivery thread takes and settles anchors."""

    def __init__(self, queue: "deque[tuple[Any, ...]]") -> None:
        self._queue = queue
        self._changed = threading.Condition()
        # next() is atomic and takes no lock, so emit() may count from any thread and any signal
        # handler. Reading is counting too, and is subtracted again.
        self._overflow = itertools.count()
        self._overflow_reads = 0
        self._warned: set[str] = set()
        self._taken = 0
        self._delivered = 0
        self._rejected = 0
        self._lost = 0
        self._reported = 0
        self._over = False

    def overflow(self) -> None:
        """An anchor found no room. Never blocks."""
        next(self._overflow)

    def take(self) -> None:
        """An anchor left the queue and will be settled."""
        self._taken += 1

    def deliver(self, count: int) -> None:
        """The agent has stored ``count`` anchors."""
        with self._changed:
            self._delivered += count
            self._changed.notify_all()

    def reject(self, count: int, kind: str, reason: str) -> None:
        """``count`` anchors were malformed, or refused by the agent for good."""
        self.warn_once(kind, reason)
        with self._changed:
            self._rejected += count
            self._changed.notify_all()

    def lose(self, count: int, reason: str) -> None:
        """``count`` anchors that had been taken are given up."""
        self.warn_once("anchors were lost", f"{count} of them, as {reason}")
        with self._changed:
            self._lost += count
            self._changed.notify_all()

    def end(self) -> None:
        """Nothing will be sent any more: what is left in the queue is lost."""
        left = 0
        while self._queue:
            self._queue.popleft()
            self.take()
            left += 1
        if left:
            self.lose(left, "the client was closed")
        if self._lost:  # only the first case was told, with its own number
            _log.warning("the client ends: %d anchors were lost in all", self._lost)
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def unreported_drops(self) -> int:
        """Drops of which the agent's log does not speak yet."""
        with self._changed:
            return self._dropped() - self._reported

    def report(self, count: int) -> None:
        """``count`` drops are in the agent's log now, as an AI-SAMPLE.1 anchor."""
        self._reported += count

    def stats(self) -> ClientStats:
        """The counts at this moment."""
        with self._changed:
            settled = self._delivered + self._rejected + self._lost
            pending = self._taken - settled + len(self._queue)
            dropped = self._dropped()
            return ClientStats(
                emitted=self._delivered + self._rejected + dropped + pending,
                delivered=self._delivered,
                rejected=self._rejected,
                dropped=dropped,
                pending=pending,
            )

    def wait_until_settled(self, timeout_s: float) -> bool:
        """Whether all that was emitted before this call is settled within ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            due = self._taken + len(self._queue)
            while self._delivered + self._rejected + self._lost < due:
                left = deadline - time.monotonic()
                if left <= 0 or self._over:
                    return False
                self._changed.wait(left)
        return True

    def warn_once(self, kind: str, detail: str) -> None:
        """Log the first of its ``kind`` only: an inference's log is not ours to fill."""
        if kind not in self._warned:
            self._warned.add(kind)
            _log.warning("%s: %s; further cases are only counted", kind, detail)

    def _dropped(self) -> int:
        overflow = next(self._overflow) - self._overflow_reads
        self._overflow_reads += 1
        return overflow + self._lost
