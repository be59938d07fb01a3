"""The log tree: docs/formats.md, "Log leaf"; RFC 9162 2.1."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.protocol.log_tree import (
    EMPTY_ROOT,
    consistency_path,
    consistency_path_from,
    fold_range,
    inclusion_path,
    inclusion_path_from,
    leaf_from_digests,
    leaf_hash,
    leaf_hashes,
    node_hash,
    salted_digest,
    salts,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

VECTORS_DIR = Path(__file__).parents[2] / "vectors"
LEAF_VECTORS = json.loads((VECTORS_DIR / "leaves.json").read_text())["leaves"]
TREE_VECTORS = json.loads((VECTORS_DIR / "tree.json").read_text())

SMALL = 70
hashes = st.binary(min_size=32, max_size=32)


def some_leaves(count: int) -> list[bytes]:
    return [sha256(b"leaf %d" % index).digest() for index in range(count)]


# RFC 9162, word for word: what the fast versions are held against.
def naive_split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of 2.1.1, on leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    k = naive_split(len(leaves))
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = naive_split(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of 2.1.4.1."""
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = naive_split(len(leaves))
    if m <= k:
        return [*naive_subproof(m, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_subproof(m - k, leaves[k:], False), naive_root(leaves[:k])]


@pytest.mark.parametrize("vector", LEAF_VECTORS, ids=lambda vector: vector["name"])
def test_leaves_match_the_published_vectors(vector: dict[str, str | int]) -> None:
    seq = int(vector["seq"])
    segment_key, payload, provenance = (
        bytes.fromhex(str(vector[name])) for name in ("segment_key", "payload", "provenance")
    )
    salt_p, salt_v = salts(segment_key, seq)
    assert salt_p.hex() == vector["salt_p"]
    assert salt_v.hex() == vector["salt_v"]
    assert salted_digest(salt_p, payload).hex() == vector["payload_digest"]
    assert salted_digest(salt_v, provenance).hex() == vector["provenance_digest"]
    assert leaf_hash(seq, salt_p, payload, salt_v, provenance).hex() == vector["leaf"]


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**60),
    st.lists(st.tuples(st.binary(max_size=90), st.binary(max_size=90)), max_size=4),
)
def test_a_run_of_leaves_is_the_leaves_one_by_one(
    key: bytes, first: int, run: list[tuple[bytes, bytes]]
) -> None:
    expected = []
    for seq, (provenance, payload) in enumerate(run, first):
        salt_p, salt_v = salts(key, seq)
        digests = salted_digest(salt_p, payload), salted_digest(salt_v, provenance)
        expected.append(leaf_from_digests(seq, *digests))
        assert leaf_hash(seq, salt_p, payload, salt_v, provenance) == expected[-1]
    assert leaf_hashes(key, first, run) == expected


def test_tree_hashes_match_the_certificate_transparency_vectors() -> None:
    leaves = [sha256(b"\x00" + bytes.fromhex(data)).digest() for data in TREE_VECTORS["inputs"]]
    assert [tree_root(leaves[:n]).hex() for n in range(len(leaves) + 1)] == TREE_VECTORS["roots"]


@pytest.mark.parametrize("vector", TREE_VECTORS["inclusion"], ids=str)
def test_inclusion_paths_match_the_certificate_transparency_vectors(
    vector: dict[str, int | list[str]],
) -> None:
    leaves = [sha256(b"\x00" + bytes.fromhex(data)).digest() for data in TREE_VECTORS["inputs"]]
    index, size = vector["index"], vector["size"]
    assert isinstance(index, int)
    assert isinstance(size, int)
    assert [node.hex() for node in inclusion_path(leaves[:size], index)] == vector["path"]


@pytest.mark.parametrize("vector", TREE_VECTORS["consistency"], ids=str)
def test_consistency_paths_match_the_certificate_transparency_vectors(
    vector: dict[str, int | list[str]],
) -> None:
    leaves = [sha256(b"\x00" + bytes.fromhex(data)).digest() for data in TREE_VECTORS["inputs"]]
    old, new = vector["old"], vector["new"]
    assert isinstance(old, int)
    assert isinstance(new, int)
    assert [node.hex() for node in consistency_path(leaves[:new], old)] == vector["path"]


@pytest.mark.parametrize("size", range(SMALL))
def test_roots_are_those_of_the_recursive_definition(size: int) -> None:
    leaves = some_leaves(size)
    assert tree_root(leaves) == naive_root(leaves)


@given(st.integers(1, SMALL), st.data())
def test_inclusion_proofs_are_those_of_the_rfc_and_verify(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = some_leaves(size)
    path = inclusion_path(leaves, index)
    assert path == naive_path(index, leaves)
    assert verify_inclusion(leaves[index], index, size, path, tree_root(leaves))


@given(st.integers(1, SMALL), st.data())
def test_inclusion_proofs_hold_for_nothing_else(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = some_leaves(size)
    leaf, path, root = leaves[index], inclusion_path(leaves, index), tree_root(leaves)
    for other in {0, index - 1, index + 1, size - 1, size} - {index}:
        assert not verify_inclusion(leaf, other, size, path, root)
    assert not verify_inclusion(leaf, index, size, [*path, root], root)
    assert not verify_inclusion(leaf, index, size, [root, *path], root)
    assert not verify_inclusion(root[::-1], index, size, path, root)
    assert not verify_inclusion(leaf, index, size, path, root[::-1])
    assert not verify_inclusion(leaf, index, size, path, root + b"\x00")
    for place in range(len(path)):
        changed = [*path]
        changed[place] = bytes([changed[place][0] ^ 1]) + changed[place][1:]
        assert not verify_inclusion(leaf, index, size, changed, root)
        assert not verify_inclusion(leaf, index, size, path[:place] + path[place + 1 :], root)


def test_a_duplicated_odd_leaf_is_another_tree() -> None:
    leaves = some_leaves(3)
    assert tree_root(leaves) != tree_root([*leaves, leaves[-1]])


def test_a_path_that_ends_below_the_root_of_its_size_holds_for_nothing() -> None:
    first, second = some_leaves(2)
    root_of_two = node_hash(first, second)
    assert verify_inclusion(first, 0, 2, [second], root_of_two)
    assert not verify_inclusion(first, 0, 4, [second], root_of_two)
    assert verify_consistency(1, 2, first, root_of_two, [second])
    assert not verify_consistency(1, 4, first, root_of_two, [second])


def test_an_inner_node_is_no_leaf() -> None:
    leaves = some_leaves(4)
    left = node_hash(leaves[0], leaves[1])
    right = node_hash(leaves[2], leaves[3])
    assert tree_root(leaves) == tree_root([left, right])  # why a leaf has its own domain:
    assert leaf_from_digests(0, leaves[0], leaves[1]) != left


@given(st.integers(0, SMALL), st.data())
def test_consistency_proofs_are_those_of_the_rfc_and_verify(
    new_size: int, data: st.DataObject
) -> None:
    old_size = data.draw(st.integers(0, new_size))
    leaves = some_leaves(new_size)
    path = consistency_path(leaves, old_size)
    assert path == (naive_subproof(old_size, leaves, True) if old_size else [])
    old_root, new_root = tree_root(leaves[:old_size]), tree_root(leaves)
    assert verify_consistency(old_size, new_size, old_root, new_root, path)


@given(st.integers(1, SMALL), st.data())
def test_consistency_proofs_hold_for_nothing_else(new_size: int, data: st.DataObject) -> None:
    old_size = data.draw(st.integers(0, new_size))
    leaves = some_leaves(new_size)
    path = consistency_path(leaves, old_size)
    old_root, new_root = tree_root(leaves[:old_size]), tree_root(leaves)
    forged = sha256(b"forged").digest()
    assert not verify_consistency(old_size, new_size, forged, new_root, path)
    if old_size:  # nothing is claimed of the new root where the old tree was empty
        assert not verify_consistency(old_size, new_size, old_root, forged, path)
    assert not verify_consistency(old_size, new_size, old_root, new_root, [*path, forged])
    assert not verify_consistency(new_size + 1, new_size, old_root, new_root, path)
    for place in range(len(path)):
        changed = [*path]
        changed[place] = forged
        assert not verify_consistency(old_size, new_size, old_root, new_root, changed)
        shorter = path[:place] + path[place + 1 :]
        assert not verify_consistency(old_size, new_size, old_root, new_root, shorter)


def test_a_rewritten_record_breaks_consistency() -> None:
    honest, rewritten = some_leaves(9), some_leaves(9)
    rewritten[3] = sha256(b"never happened").digest()
    path = consistency_path(rewritten, 6)
    assert not verify_consistency(6, 9, tree_root(honest[:6]), tree_root(rewritten), path)


@given(
    st.integers(-2, 2**64),
    st.integers(-2, 2**64),
    st.lists(hashes, max_size=70) | st.lists(st.binary(max_size=33), max_size=70),
)
def test_verifying_any_numbers_and_path_holds_for_nothing(
    first: int, second: int, path: list[bytes]
) -> None:
    leaf, root = sha256(b"leaf").digest(), sha256(b"root").digest()
    assert not verify_inclusion(leaf, first, second, path, root)
    assert not verify_consistency(first, second, leaf, root, path)


@pytest.mark.parametrize("size", [31, 33])
def test_what_is_no_hash_is_in_no_tree(size: int) -> None:
    one = bytes(size)
    assert not verify_inclusion(one, 0, 1, [], one)
    assert not verify_consistency(1, 1, one, one, [])


@pytest.mark.parametrize("index", [-1, 3])
def test_a_path_is_built_only_for_a_leaf_of_the_tree(index: int) -> None:
    with pytest.raises(ValueError, match="not in a tree of 3"):
        inclusion_path(some_leaves(3), index)


def test_a_larger_tree_begins_no_smaller_one() -> None:
    with pytest.raises(ValueError, match="cannot begin"):
        consistency_path(some_leaves(3), 4)


@given(st.integers(1, 300), st.data())
def test_paths_from_aligned_subtrees_are_the_same(size: int, data: st.DataObject) -> None:
    leaves = some_leaves(size)
    index = data.draw(st.integers(0, size - 1))
    old_size = data.draw(st.integers(0, size))

    def complete_subtree(start: int, end: int) -> bytes:
        span = end - start
        assert span & (span - 1) == 0
        assert start % span == 0
        return tree_root(leaves[start:end])

    def range_hash(start: int, end: int) -> bytes:
        return fold_range(complete_subtree, start, end)

    assert range_hash(0, size) == tree_root(leaves)
    assert inclusion_path_from(range_hash, index, size) == inclusion_path(leaves, index)
    assert consistency_path_from(range_hash, old_size, size) == consistency_path(leaves, old_size)


def test_a_range_without_leaves_has_the_empty_root() -> None:
    def never(start: int, end: int) -> bytes:
        raise AssertionError((start, end))

    assert fold_range(never, 0, 0) == EMPTY_ROOT


def test_a_path_in_ten_million_leaves_asks_for_few_ranges() -> None:
    asked = []

    def range_hash(start: int, end: int) -> bytes:
        asked.append((start, end))
        return bytes(32)

    assert len(inclusion_path_from(range_hash, 7_654_321, 10_000_000)) <= 24
    assert len(consistency_path_from(range_hash, 7_654_321, 10_000_000)) <= 25
    assert len(asked) <= 49
