"""The log tree over all segments: roots, inclusion and consistency proofs of any size so far.

Leaf hashes are not stored. In memory are the hashes of the segment that grows and one root for
each full segment; the leaves of a full segment are computed again from its records when a proof
needs them (docs/formats.md, "Log leaf"; RFC 9162 section 2.1).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from swt3_agent.errors import JournalError
from swt3_agent.protocol.log_tree import (
    HASH_SIZE,
    consistency_path_from,
    fold_range,
    inclusion_path_from,
)
from swt3_agent.store.segment_file import SEGMENT_RECORDS

_SEGMENT_LEVEL = SEGMENT_RECORDS.bit_length() - 1
_CACHED_SEGMENTS = 2  # 4 MiB each

LeavesOf = Callable[[int], Iterable[bytes]]
"""Leaf hashes of a full segment, computed from its records."""


class CompleteSubtrees:
    """All complete, aligned subtrees over a growing row of hashes: 64 bytes for each of them."""

    def __init__(self) -> None:
        self._levels = [bytearray()]

    def __len__(self) -> int:
        return len(self._levels[0]) // HASH_SIZE

    def extend(self, hashes: Iterable[bytes]) -> None:
        """Add the next hashes of the lowest level, and every node that they complete."""
        hash_of, pair = sha256, 2 * HASH_SIZE
        below = self._levels[0]
        below += b"".join(hashes)
        level = 1
        while len(below) >= pair:
            if level == len(self._levels):
                self._levels.append(bytearray())
            nodes = self._levels[level]
            for at in range(2 * len(nodes), len(below) - len(below) % pair, pair):
                nodes += hash_of(b"\x01" + below[at : at + pair]).digest()
            below = nodes
            level += 1

    def node(self, level: int, index: int) -> bytes:
        """Root of the ``index``-th complete subtree of ``2**level`` hashes."""
        return bytes(self._levels[level][index * HASH_SIZE : (index + 1) * HASH_SIZE])


class LogTree:
    """The tree; one thread extends it at a time, any thread asks."""

    def __init__(self, segment_roots: Sequence[bytes], leaves_of: LeavesOf) -> None:
        self._lock = threading.Lock()
        self._leaves_of = leaves_of
        self._above = CompleteSubtrees()
        self._above.extend(segment_roots)
        self._growing = CompleteSubtrees()
        self._cache: OrderedDict[int, CompleteSubtrees] = OrderedDict()

    @property
    def size(self) -> int:
        """Leaves so far."""
        with self._lock:
            return len(self._above) * SEGMENT_RECORDS + len(self._growing)

    def extend(self, leaves: Sequence[bytes]) -> bytes | None:
        """Add the next leaves, none across a segment boundary; the root of a segment they fill."""
        with self._lock:
            self._growing.extend(leaves)
            if len(self._growing) < SEGMENT_RECORDS:
                return None
            root = self._growing.node(_SEGMENT_LEVEL, 0)
            self._remember(len(self._above), self._growing)
            self._above.extend([root])
            self._growing = CompleteSubtrees()
            return root

    def range_hash(self, start: int, end: int) -> bytes:
        """Root of leaves ``[start, end)``, aligned as ``log_tree.RangeHash`` says."""
        return fold_range(self._complete_subtree, start, end)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Path from leaf ``index`` to the root of the first ``size`` leaves."""
        return inclusion_path_from(self.range_hash, index, size)

    def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """Proof that the tree of ``new_size`` begins with that of ``old_size``."""
        return consistency_path_from(self.range_hash, old_size, new_size)

    def _complete_subtree(self, start: int, end: int) -> bytes:
        level = (end - start).bit_length() - 1
        if level >= _SEGMENT_LEVEL:
            with self._lock:
                return self._above.node(level - _SEGMENT_LEVEL, start >> level)
        number, within = divmod(start, SEGMENT_RECORDS)
        subtrees = self._subtrees_of(number)
        with self._lock:
            return subtrees.node(level, within >> level)

    def _subtrees_of(self, number: int) -> CompleteSubtrees:
        with self._lock:
            if number == len(self._above):
                return self._growing
            cached = self._cache.get(number)
            if cached is not None:
                self._cache.move_to_end(number)
                return cached
        subtrees = CompleteSubtrees()
        subtrees.extend(self._leaves_of(number))
        with self._lock:
            if subtrees.node(_SEGMENT_LEVEL, 0) != self._above.node(0, number):
                raise _other_leaves(number)
            self._remember(number, subtrees)
        return subtrees

    def _remember(self, number: int, subtrees: CompleteSubtrees) -> None:
        self._cache[number] = subtrees
        while len(self._cache) > _CACHED_SEGMENTS:
            self._cache.popitem(last=False)


def _other_leaves(number: int) -> JournalError:
    return JournalError(
        "LOG_ROOT_MISMATCH",
        f"the records of segment {number} and its key do not give the segment's root",
        remedy="restore the segment and its key from one backup, and run `swt3-agent fsck`",
    )
