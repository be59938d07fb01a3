"""A log tree that is only ever added to, kept as its peaks: log2(n) hashes for n leaves.

RFC 9162 section 2.1: the peaks are the complete subtrees that the tree of ``size`` leaves is made
of, largest first, one for each bit that is set in ``size``.
"""

from collections.abc import Sequence

from swt3_agent.protocol.log_tree import EMPTY_ROOT, RangeHash, node_hash


class CompactRange:
    """The tree over the first ``size`` leaves; ``add`` the next, ask for the ``root``."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        """Raises ValueError where a tree of ``size`` leaves has another number of peaks."""
        if size < 0 or size.bit_count() != len(peaks):
            raise ValueError(f"a tree of {size} leaves does not have {len(peaks)} peaks")
        self.size = size
        self._peaks = list(peaks)

    def add(self, leaf: bytes) -> None:
        """Add the leaf at index ``size``."""
        node, pairs = leaf, self.size
        while pairs & 1:
            node = node_hash(self._peaks.pop(), node)
            pairs >>= 1
        self._peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Root of what was added so far."""
        if not self._peaks:
            return EMPTY_ROOT
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = node_hash(peak, node)
        return node


def peaks_of(range_hash: RangeHash, size: int) -> list[bytes]:
    """The peaks of the tree over the first ``size`` leaves of a log."""
    peaks, start = [], 0
    while start < size:
        span = 1 << ((size - start).bit_length() - 1)
        peaks.append(range_hash(start, start + span))
        start += span
    return peaks
