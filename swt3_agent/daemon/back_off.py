"""When to try again what failed: soon at first, then ever more rarely."""

import time
from collections.abc import Callable

FIRST_S = 10.0
LONGEST_S = 300.0


class BackOff:
    """Waits that double from ``FIRST_S`` to ``LONGEST_S``. Not thread-safe."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._wait_s = FIRST_S
        self._next = 0.0

    @property
    def due(self) -> bool:
        """Whether it has been long enough since the last failure."""
        return self._now() >= self._next

    def failed(self) -> None:
        """Note that it failed again, just now. An attempt before its time lengthens no wait."""
        if not self.due:
            return
        self._next = self._now() + self._wait_s
        self._wait_s = min(2 * self._wait_s, LONGEST_S)
