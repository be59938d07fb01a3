"""The SWT3 tree over the fingerprints of a day: millions of leaves, few hashes kept.

The same tree as :class:`swt3_agent.protocol.merkle.MerkleTree`. Of each block of 4096 leaves only
the fingerprints (8 bytes each) and the block's root stay; a proof hashes one block again.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from swt3_agent.errors import FormatError
from swt3_agent.protocol.merkle import MerkleProof, MerkleStep, MerkleTree, parents

BUCKETS = 256
_BLOCK = 4096
_SHIFT = 40  # of 48 bits, the first eight choose the bucket


class FingerprintSet:
    """A multiset of fingerprints as they come: 8 bytes each, in buckets that sort one by one."""

    def __init__(self) -> None:
        self._buckets = [array("Q") for _ in range(BUCKETS)]
        self.count = 0

    def add(self, fingerprint: int) -> None:
        """Add one fingerprint of 48 bits."""
        self._buckets[fingerprint >> _SHIFT].append(fingerprint)
        self.count += 1

    def bucket(self, number: int) -> "array[int]":
        """Its fingerprints that begin with the byte ``number``, in no order."""
        return self._buckets[number]


class DayTree:
    """The tree over ``sets`` together.

    ``breathe`` is called between blocks, a few milliseconds of work each: whoever builds a large
    tree beside others may wait in it.
    """

    def __init__(
        self, sets: Sequence[FingerprintSet], breathe: Callable[[], None] = lambda: None
    ) -> None:
        self._sorted = array("Q")
        for number in range(BUCKETS):
            self._sorted.extend(sorted(value for part in sets for value in part.bucket(number)))
            if len(self._sorted) >= _BLOCK:
                breathe()
        roots = []
        for start in range(0, len(self._sorted), _BLOCK):
            roots.append(self._block(start).root)
            breathe()
        self._above = [roots]
        while len(self._above[-1]) > 1:
            self._above.append(parents(self._above[-1]))

    def __len__(self) -> int:
        return len(self._sorted)

    @property
    def root(self) -> str:
        """64 hex characters; empty text for the tree of nothing."""
        top = self._above[-1]
        return top[0] if top else ""

    def proof(self, fingerprint: str) -> MerkleProof:
        """The proof for the first of equal leaves; ``fingerprint`` is 12 hex digits.

        Raises FormatError (NOT_IN_TREE) for a fingerprint that is not among the leaves.
        """
        value = int(fingerprint, 16)
        index = bisect_left(self._sorted, value)
        if index == len(self) or self._sorted[index] != value:
            raise FormatError(
                "NOT_IN_TREE",
                f"fingerprint {fingerprint} is not among the {len(self)} leaves of this tree",
                remedy="ask for the tree of the day that holds the record",
            )
        below = self._block(index - index % _BLOCK).proof(fingerprint)
        steps = [*below.steps, *_steps(self._above[:-1], index // _BLOCK)]
        return MerkleProof(fingerprint, below.leaf_hash, self.root, tuple(steps))

    def _block(self, start: int) -> MerkleTree:
        return MerkleTree(f"{value:012x}" for value in self._sorted[start : start + _BLOCK])


def _steps(levels: Sequence[Sequence[str]], index: int) -> Iterable[MerkleStep]:
    for level in levels:
        sibling = index ^ 1
        if sibling < len(level):
            yield MerkleStep(level[sibling], "left" if index & 1 else "right")
        index //= 2
