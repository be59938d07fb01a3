"""How soon heads may follow each other: a slow TPM must have time for those who wait for it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REST = 3.0
"""Rest after a head, as a multiple of what it took: heads by the clock keep the TPM busy for a
quarter of the time at most, and the rest is for `prove`, quotes and the counter."""
MOST_REST_S = 60.0


class Pace:
    """Not thread-safe."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._rested_at = 0.0

    @property
    def rested(self) -> bool:
        """Whether it has been long enough since the last head for one that nobody waits for."""
        return self._now() >= self._rested_at

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While the TPM is at work on a head, or fails to be."""
        began = self._now()
        try:
            yield
        finally:
            ended = self._now()
            self._rested_at = ended + min(REST * (ended - began), MOST_REST_S)
