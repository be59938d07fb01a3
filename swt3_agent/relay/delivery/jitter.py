"""How long to wait after a failure: exponential back-off with full jitter.

Each wait is drawn evenly from zero to a ceiling that doubles, so that nodes which failed together
do not come back together.
"""

import random
from collections.abc import Callable

FIRST_S = 1.0
LONGEST_S = 300.0


class FullJitter:
    """Waits in seconds below ``FIRST_S``, then below ever more, up to ``LONGEST_S``."""

    def __init__(self, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._draw = draw
        self._ceiling = FIRST_S

    def next(self, at_least: float = 0.0) -> float:
        """The wait after one more failure; ``at_least`` is what the other side asked for."""
        ceiling, self._ceiling = self._ceiling, min(2 * self._ceiling, LONGEST_S)
        return max(self._draw(0.0, ceiling), at_least)

    def reset(self) -> None:
        """Begin anew: it worked."""
        self._ceiling = FIRST_S
