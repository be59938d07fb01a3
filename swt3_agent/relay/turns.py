"""Whose turn it is: connections with work to do are served a bounded portion at a time.

Without this, sixty-four producers that always have more to send make a single small request wait
for hundreds of milliseconds. Small requests are handled as they arrive. Large ones are taken up
one after the other, a connection at a time, because working on all of them at once would only
make each of them as late as the last.
"""

import asyncio
import logging
from collections import deque
from typing import Protocol

_log = logging.getLogger(__name__)


class Worker(Protocol):
    """Something that works in portions."""

    @property
    def midway(self) -> bool:
        """Whether a request has been taken up and is not finished."""
        ...

    @property
    def next_is_small(self) -> bool:
        """Whether what is to be done next fits one portion."""
        ...

    def take_turn(self) -> bool:
        """Do one portion; whether there is more to do now."""
        ...

    def abort(self) -> None:
        """Give up: a turn failed in a way nobody foresaw."""
        ...


class Turns:
    """Serves in the event loop, which is given a breath every ``budget_s``."""

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
        if worker.midway:
            self._waiting.appendleft(worker)
        else:
            self._waiting.append(worker)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._serve)

    def arrived(self, worker: Worker) -> None:
        """``worker`` received something: a small request is handled at once."""
        if worker in self._members:
            return
        if (self._waiting and not worker.next_is_small) or self._serve_one(worker):
            self.add(worker)

    def _serve(self) -> None:
        until = self._loop.time() + self._budget_s
        while self._waiting:
            worker = self._waiting.popleft()
            self._members.discard(worker)
            if self._serve_one(worker):
                self.add(worker)
            if self._loop.time() >= until:
                break
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            self._loop.call_soon(self._serve)

    def _serve_one(self, worker: Worker) -> bool:
        try:
            return worker.take_turn()
        except Exception:  # noqa: BLE001  # a bug met by one connection must not stop the others
            _log.exception("a connection was given up: handling its input failed")
            worker.abort()
            return False
