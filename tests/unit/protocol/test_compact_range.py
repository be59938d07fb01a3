"""A tree kept as its peaks has the roots of the tree with all its leaves."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.protocol.compact_range import CompactRange, peaks_of
from swt3_agent.protocol.log_tree import tree_root

LEAVES = [sha256(b"%d" % number).digest() for number in range(150)]


@given(st.integers(0, 149), st.integers(0, 149))
def test_roots_are_those_of_the_whole_tree(start: int, more: int) -> None:
    def range_hash(first: int, end: int) -> bytes:
        return tree_root(LEAVES[first:end])

    tree = CompactRange(start, peaks_of(range_hash, start))
    assert tree.root() == tree_root(LEAVES[:start])
    for leaf in LEAVES[start : start + more]:
        tree.add(leaf)
    assert tree.root() == tree_root(LEAVES[: start + more])
    assert tree.size == min(150, start + more)


@pytest.mark.parametrize(("size", "peaks"), [(-1, 0), (0, 1), (3, 1), (4, 2), (2**64, 0)])
def test_another_number_of_peaks_is_refused(size: int, peaks: int) -> None:
    with pytest.raises(ValueError, match="peaks"):
        CompactRange(size, LEAVES[:peaks])
