"""The thread behind a client: takes what was emitted, mints it, and sends it until it is answered.

One batch is under way at a time and keeps its number until it has a final answer, so that the
agent stores it once, however often it is sent (docs/formats.md, "Intake").
"""

import logging
import random
import threading
import time
from collections import deque
from typing import Any

from swt3_agent.client.connection import AgentConnection
from swt3_agent.client.minting import Emitted, Minter
from swt3_agent.client.settings import ClientSettings
from swt3_agent.client.tally import Tally
from swt3_agent.errors import FormatError

MAX_BATCH_RECORDS = 500
_MAX_BATCH_BYTES = 2 * 1024 * 1024
_MINTED_AT_A_STRETCH = 16
"""Anchors minted before other threads are let in: a tenth of a millisecond."""

_SHORTEST_POLL_S = 0.002
_LONGEST_POLL_S = 0.05
_SHORTEST_RETRY_S = 0.01
_LONGEST_RETRY_S = 5.0

_UNREACHABLE = "the agent cannot be reached"

_log = logging.getLogger("swt3_agent.client")


class Delivery(threading.Thread):
    """Runs until ``stop``; ``client_id`` and batch numbers are its own."""

    def __init__(
        self,
        settings: ClientSettings,
        client_id: str,
        queue: "deque[tuple[Any, ...]]",
        tally: Tally,
    ) -> None:
        super().__init__(name="swt3-client", daemon=True)
        self._client_id = client_id
        self._queue = queue
        self._tally = tally
        self._minter = Minter(settings)
        self._connection = AgentConnection(settings.socket)
        self._next_batch = 0
        self._prodded = threading.Event()
        self._stop_at: float | None = None

    def prod(self) -> None:
        """Look at the queue now, not at the next poll."""
        self._prodded.set()

    def stop(self, timeout_s: float) -> None:
        """End once the queue is empty, the agent cannot be reached, or the time is up."""
        self._stop_at = time.monotonic() + timeout_s
        self._prodded.set()

    def forsake(self) -> None:
        """In a forked child: close the copy of a connection that belongs to the parent."""
        self._connection.close()

    def run(self) -> None:
        poll_s = _SHORTEST_POLL_S
        while not self._expired():
            batch = self._take()
            if batch:
                self._deliver_or_lose(batch)
                poll_s = _SHORTEST_POLL_S
            elif self._stop_at is not None:
                break
            else:
                self._pause(poll_s)
                poll_s = min(poll_s * 2, _LONGEST_POLL_S)
        self._connection.close()
        self._tally.end()

    def _deliver_or_lose(self, batch: list[bytes]) -> None:
        try:
            self._deliver(batch)
        except Exception:  # noqa: BLE001  # a bug met by one batch must not cost all later ones
            _log.exception("a batch of anchors could not be delivered")
            self._tally.lose(len(batch), "delivering them failed")

    def _take(self) -> list[bytes]:
        """Up to a batch of minted anchors from the queue."""
        batch: list[bytes] = []
        size = 0
        while self._queue and len(batch) < MAX_BATCH_RECORDS and size < _MAX_BATCH_BYTES:
            emitted = self._queue.popleft()
            self._tally.take()
            try:
                minted = self._minter.mint(Emitted(*emitted))
            except FormatError as error:
                self._tally.reject(1, "an anchor is malformed", error.message)
                continue
            batch.append(minted)
            size += len(minted)
            if len(batch) % _MINTED_AT_A_STRETCH == 0:
                time.sleep(0)  # lets go of the interpreter lock
        return batch

    def _deliver(self, batch: list[bytes]) -> None:
        """Send until there is a final answer; gives up only when told to stop."""
        skipped = self._tally.unreported_drops()
        witnesses = [*batch, self._sample_anchor(skipped)] if skipped else batch
        number, self._next_batch = self._next_batch, self._next_batch + 1
        request_id = f"b{number}"
        line = b'{"op":"submit","id":"%b","client":"%b","batch":%d,"witnesses":[%b]}\n' % (
            request_id.encode(),
            self._client_id.encode(),
            number,
            b",".join(witnesses),
        )
        retry_s = _SHORTEST_RETRY_S
        while True:
            fault = self._ask(line, request_id, len(batch), skipped)
            if fault is None:
                return
            if self._expired() or (self._stop_at is not None and fault == _UNREACHABLE):
                self._tally.lose(len(batch), fault)
                return
            self._pause(random.uniform(retry_s / 2, retry_s))  # noqa: S311  # jitter, no secret
            retry_s = min(retry_s * 2, _LONGEST_RETRY_S)

    def _ask(self, line: bytes, request_id: str, count: int, skipped: int) -> str | None:
        """None once the batch is settled, else why it is to be sent again."""
        try:
            answer = self._connection.ask(line, request_id)
        except OSError as error:
            self._tally.warn_once(_UNREACHABLE, str(error))
            return _UNREACHABLE
        if answer.get("ok") is True:
            self._settle(answer, count, skipped)
            return None
        code, sentence = str(answer.get("code")), str(answer.get("error"))
        if answer.get("retryable") is True:
            self._tally.warn_once(f"the agent answers {code}", sentence)
            return f"the agent answers {code}"
        self._tally.reject(count, f"the agent refuses batches with {code}", sentence)
        return None

    def _settle(self, answer: dict[str, Any], count: int, skipped: int) -> None:
        results = answer.get("results") or ()
        refused = [result for result in results if result.get("index", 0) < count]
        self._tally.deliver(count - len(refused))
        if refused:
            first = refused[0]
            kind = f"the agent refuses anchors with {first.get('code')}"
            self._tally.reject(len(refused), kind, str(first.get("error")))
        if skipped and len(refused) == len(results):
            self._tally.report(skipped)

    def _sample_anchor(self, skipped: int) -> bytes:
        """AI-SAMPLE.1: so many anchors are missing here (docs/protocol.md 8.1)."""
        return self._minter.mint(Emitted(time.time_ns(), "AI-SAMPLE.1", skipped, 0, 0))

    def _pause(self, seconds: float) -> None:
        if self._stop_at is not None:
            seconds = min(seconds, max(0.0, self._stop_at - time.monotonic()))
        self._prodded.wait(seconds)
        self._prodded.clear()

    def _expired(self) -> bool:
        return self._stop_at is not None and time.monotonic() >= self._stop_at
