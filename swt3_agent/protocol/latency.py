"""Latency factors of our own anchors at clearing level 3: a bucket instead of milliseconds.

Factors travel at every level, and how long an answer took tells how long it was. What this node
and its clients mint at level 3 says so only roughly, and so that no verdict changes: a bucket never
crosses the threshold beside it (docs/protocol.md 6.3). Records of others keep their factors, which
their fingerprints cover. Standard library only.
"""

from collections.abc import Mapping

from swt3_agent.protocol.clearing import MAX_LEVEL
from swt3_agent.protocol.fingerprint import MAX_SAFE_INTEGER

Factors = tuple[int, int, int]

_IS_LIMITED: Mapping[str, bool] = {"AI-INF.2": True, "AI-TOOL.1": False}
"""Procedures whose factor b is a latency in ms, and whether factor a is its threshold."""


def bucketed(procedure: str, factors: Factors, level: int) -> Factors:
    """``factors`` as an anchor minted at ``level`` may say them."""
    if level < MAX_LEVEL or procedure not in _IS_LIMITED:
        return factors
    a, b, c = factors
    top = bucket_top(b)
    if _IS_LIMITED[procedure] and b <= a:
        top = min(top, a)
    return a, top, c


def bucket_top(milliseconds: int) -> int:
    """The upper end of the bucket: the next of 1, 2, 5, 10, 20, 50 and so on, at most 2^53 - 1."""
    decade = 1
    while True:
        for step in (1, 2, 5):
            if milliseconds <= step * decade:
                return min(step * decade, MAX_SAFE_INTEGER)
        decade *= 10
