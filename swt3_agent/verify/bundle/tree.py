"""The tree over the records of a bundle, and the roots that are stated of it."""

from collections import deque
from collections.abc import Sequence
from typing import TypeGuard

from swt3_agent.protocol.bundle import Manifest
from swt3_agent.protocol.compact_range import CompactRange
from swt3_agent.protocol.trust import Floors
from swt3_agent.verify.bundle.archive import Archive, Portion
from swt3_agent.verify.bundle.contents import leaves_of
from swt3_agent.verify.bundle.heads import StatedRoot
from swt3_agent.verify.refusal import refusal


def reaches(floors: Floors | None, manifest: Manifest) -> TypeGuard[Floors]:
    """Whether the range shows that its log grew out of the enrolled one."""
    return floors is not None and manifest.first <= floors.size <= manifest.end


def examine_tree(
    archive: Archive,
    manifest: Manifest,
    portions: Sequence[Portion],
    roots: Sequence[StatedRoot],
    floors: Floors | None,
    found: dict[int, bytes],
) -> int:
    """Whether the leaves give the root at the end, and those stated in between: ``roots`` of heads,
    in order, and that of the enrolled log.

    ``found`` gets the roots at those sizes that are its keys. Returns how many heads were
    compared; those of sizes outside the range cannot be. Raises
    FormatError ``TREE_PEAKS``, ``TREE_ROOT``, ``HEAD_ROOT`` or ``FLOOR_ROOT``.
    """
    try:
        tree = CompactRange(manifest.first, [bytes.fromhex(peak) for peak in manifest.peaks])
    except ValueError as error:
        raise refusal(
            "TREE_PEAKS", f"what is before the range has no such peaks: {error}"
        ) from None
    heads = deque(stated for stated in roots if manifest.first <= stated[0] <= manifest.end)
    compared = len(heads)
    for portion in portions:
        for _, leaf in leaves_of(archive, portion):
            _check_roots(tree, heads, floors, found)
            tree.add(leaf)
    _check_roots(tree, heads, floors, found)
    if tree.root().hex() != manifest.root:
        raise refusal("TREE_ROOT", "the leaves do not give the root that the manifest states")
    return compared


def _check_roots(
    tree: CompactRange,
    heads: deque[StatedRoot],
    floors: Floors | None,
    found: dict[int, bytes],
) -> None:
    """Compare what is stated of the tree as it is now, and keep its root where it is asked for."""
    size = tree.size
    if size in found:
        found[size] = tree.root()
    while heads and heads[0][0] == size:
        _, root, seq = heads.popleft()
        if tree.root() != root:
            raise refusal("HEAD_ROOT", f"the head at record {seq} states another root at {size}")
    if floors is not None and floors.size == size and tree.root() != floors.root:
        raise refusal("FLOOR_ROOT", f"the enrolled log had another root at {size} records")
