"""Whose turn it is: connections with work to do are served in rounds, a bounded portion each.

Without this, sixty-four producers that always have more to send make a single small request wait
for hundreds of milliseconds.
"""

import asyncio
import logging
from collections import deque
from typing import Protocol

_log = logging.getLogger(__name__)


class Worker(Protocol):
    """Something that works in portions."""

    def take_turn(self) -> bool:
        """Do one portion; whether there is more to do now."""
        ...

    def abort(self) -> None:
        """Give up: a turn failed in a way nobody foresaw."""
        ...


class Turns:
    """Round robin in the event loop, which is given a breath every ``budget_s``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, budget_s: float) -> None:
        self._loop = loop
        self._budget_s = budget_s
        self._waiting: deque[Worker] = deque()
        self._members: set[Worker] = set()
        self._scheduled = False

    def add(self, worker: Worker) -> None:
        """``worker`` has work; adding it again before its turn changes nothing."""
        if worker in self._members:
            return
        self._members.add(worker)
        self._waiting.append(worker)
        self._schedule()

    def take_or_wait(self, worker: Worker) -> None:
        """Like ``add``, but with the first portion done at once: nearly always it is the last."""
        if worker not in self._members and self._serve_one(worker):
            self.add(worker)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._serve)

    def _serve(self) -> None:
        self._scheduled = False
        until = self._loop.time() + self._budget_s
        while self._waiting:
            worker = self._waiting.popleft()
            self._members.discard(worker)
            if self._serve_one(worker):
                self.add(worker)
            if self._loop.time() >= until:
                break
        if self._waiting:
            self._schedule()

    def _serve_one(self, worker: Worker) -> bool:
        try:
            return worker.take_turn()
        except Exception:  # noqa: BLE001  # a bug met by one connection must not stop the others
            _log.exception("a connection was given up: handling its input failed")
            worker.abort()
            return False
