"""Long work beside the intake: half of the interpreter at most, and an end when the agent ends."""

import threading
import time

from swt3_agent.errors import JournalError

_LONGEST_S = 0.05  # of one wait: what a thread did before it came here is not counted against it


class Breath:
    """Called between slices of long work, from any thread."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.local()

    def __call__(self) -> None:
        """Wait for as long as this thread has computed since it last called.

        Raises JournalError ``STOPPING`` once the agent stops.
        """
        worked_s = time.thread_time() - getattr(self._thread, "computed_s", 0.0)
        if self._stopping.wait(min(worked_s, _LONGEST_S)):
            raise JournalError(
                "STOPPING",
                "the agent is stopping, and what was under way was left",
                remedy="ask again when it runs",
                retryable=True,
            )
        self._thread.computed_s = time.thread_time()

    def stop(self) -> None:
        """End whatever breathes."""
        self._stopping.set()
