"""The client of the node's agent, for inference processes."""

import atexit
import os
import threading
import uuid
from collections import deque
from collections.abc import Mapping
from time import time_ns
from typing import Any

from swt3_agent.client.delivery import Delivery
from swt3_agent.client.settings import ClientSettings
from swt3_agent.client.stats import ClientStats
from swt3_agent.client.tally import Tally

DEFAULT_CAPACITY = 65_536
_EXIT_FLUSH_S = 1.0
_GRACE_S = 0.1


class Client:
    """Takes anchors without ever waiting, and hands them to the agent from a thread.

    ``settings`` default to the environment's, read at the first ``emit``. ``capacity`` is how many
    anchors are kept for an agent that is away; beyond it they are dropped, counted, and anchored
    as AI-SAMPLE.1 when it is back. Any thread may call anything. After a fork the child has a
    client of its own, which starts empty: what the parent had not sent yet, the parent sends.
    """

    _queue: deque[tuple[Any, ...]]
    _tally: Tally
    _delivery: Delivery | None
    _starting: threading.Lock

    def __init__(
        self, settings: ClientSettings | None = None, *, capacity: int = DEFAULT_CAPACITY
    ) -> None:
        self._settings = settings
        self._capacity = capacity
        self._closed = False
        self._reset()

    def emit(
        self,
        procedure_id: str,
        factor_a: int,
        factor_b: int,
        factor_c: int,
        *,
        model_id: str | None = None,
        prompt_hash: str | None = None,
        response_hash: str | None = None,
        latency_ms: float | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        context: Mapping[str, object] | None = None,
        agent_id: str | None = None,
        **others: object,
    ) -> None:
        """Witness one event, now. Never blocks; raises only where its arguments do not fit.

        Factors are what ``procedure_id`` says they are (docs/protocol.md 8). Hashes are those of
        ``content_hash``: prompts and responses themselves have no place here. ``others`` are
        further fields of a witness by their wire names, such as ``jurisdiction``. How much of all
        that leaves the process is the clearing level's to say. ``context`` must not be changed
        afterwards. A malformed anchor is warned of once and counted as rejected.
        """
        if len(self._queue) < self._room:
            self._enqueue(
                (
                    time_ns(),
                    procedure_id,
                    factor_a,
                    factor_b,
                    factor_c,
                    model_id,
                    prompt_hash,
                    response_hash,
                    latency_ms,
                    input_tokens,
                    output_tokens,
                    context,
                    agent_id,
                    others,
                )
            )
        else:
            self._tally.overflow()
        if self._delivery is None:
            self._start()

    def flush(self, timeout: float = 5.0) -> bool:
        """Whether all that was emitted before this call is settled within ``timeout`` seconds."""
        if self._delivery is not None:
            self._delivery.prod()
        return self._tally.wait_until_settled(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Flush, then stop: what is emitted from now on is dropped. Whether nothing was lost.

        Waits ``timeout`` seconds at most, and not for an agent that cannot be reached.
        """
        self._closed = True
        self._room = 0
        with self._starting:
            delivery = self._delivery
        if delivery is not None:
            delivery.stop(timeout)
            delivery.join(timeout + _GRACE_S)
        _running.discard(self)
        return self.stats().dropped == 0

    def stats(self) -> ClientStats:
        """What became of the anchors so far."""
        return self._tally.stats()

    def _start(self) -> None:
        if self._closed or not self._starting.acquire(blocking=False):
            return
        try:
            if self._delivery is None:
                settings = self._settings or ClientSettings.from_environment()
                delivery = Delivery(settings, str(uuid.uuid4()), self._queue, self._tally)
                delivery.start()
                self._delivery = delivery
                _running.add(self)
        except RuntimeError:  # no thread can be started now, as when the interpreter is ending
            pass
        finally:
            self._starting.release()

    def _leave_parent(self) -> None:
        if self._delivery is not None:
            self._delivery.forsake()
        self._reset()

    def _reset(self) -> None:
        """Begin with nothing: at first, and in a forked child, whose locks may be held for ever."""
        self._queue = deque()
        self._enqueue = self._queue.append
        self._room = 0 if self._closed else self._capacity
        self._tally = Tally(self._queue)
        self._delivery = None
        self._starting = threading.Lock()


_running: set[Client] = set()


def _after_fork_in_child() -> None:
    for client in list(_running):
        client._leave_parent()
    _running.clear()


def _at_exit() -> None:
    for client in list(_running):
        client.close(_EXIT_FLUSH_S)


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
