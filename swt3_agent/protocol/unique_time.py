"""Time stamps for minting that never repeat for one key (docs/protocol.md 1.6)."""

import threading
import time
from collections.abc import Callable

_MOST_REMEMBERED = 16_384


class UniqueMilliseconds:
    """Time stamps that never repeat for one key: equal inputs would give equal fingerprints
    (docs/protocol.md 1.6)."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._last: dict[object, int] = {}
        self._lock = threading.Lock()

    def next(self, key: object) -> int:
        """Milliseconds since the epoch, later than any given for ``key`` before."""
        with self._lock:
            now = self._now_ns() // 1_000_000
            stamp = max(now, self._last.get(key, 0) + 1)
            if len(self._last) >= _MOST_REMEMBERED:  # of the past, nothing can be repeated
                self._last = {known: last for known, last in self._last.items() if last >= now}
            self._last[key] = stamp
            return stamp
