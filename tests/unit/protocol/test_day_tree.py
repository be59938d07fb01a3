import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol import day_tree
from swt3_agent.protocol.day_tree import DayTree, FingerprintSet
from swt3_agent.protocol.merkle import MerkleTree, verify_merkle_proof

FINGERPRINTS = st.lists(
    st.one_of(st.integers(0, 3), st.integers(0, 2**48 - 1)), max_size=60
)  # some of them equal


def tree_of(*parts: list[int]) -> DayTree:
    sets = []
    for part in parts:
        one = FingerprintSet()
        for value in part:
            one.add(value)
        sets.append(one)
    return DayTree(sets)


@given(FINGERPRINTS, FINGERPRINTS)
def test_it_is_the_tree_over_the_sorted_fingerprints(first: list[int], second: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(day_tree, "_BLOCK", 8)  # so that a few leaves fill several blocks
        tree = tree_of(first, second)
        expected = MerkleTree(f"{value:012x}" for value in first + second)
        assert (tree.root, len(tree)) == (expected.root, len(expected))
        for value in {*first, *second}:
            proof = tree.proof(f"{value:012x}")
            assert proof == expected.proof(f"{value:012x}")
            assert verify_merkle_proof(proof)


def test_a_tree_of_several_whole_blocks_is_the_same_too() -> None:
    values = [n * 2654435761 % 2**48 for n in range(9000)]
    tree = tree_of(values)
    expected = MerkleTree(f"{value:012x}" for value in values)
    assert tree.root == expected.root
    for value in (values[0], values[4096], values[-1]):
        assert tree.proof(f"{value:012x}") == expected.proof(f"{value:012x}")


def test_known_answers() -> None:
    assert tree_of([]).root == ""
    root = "bdc34a60bfa636e084bf0a7e122fa46c43ea17d7126046350c13b9f3cd86f048"
    assert tree_of([0xC059EB5938C0, 0x9B2923DB0F62, 0x4ED784765E6C]).root == root


def test_what_is_not_in_the_tree_has_no_proof() -> None:
    with pytest.raises(FormatError) as refused:
        tree_of([1, 2]).proof("00000000000f")
    assert refused.value.code == "NOT_IN_TREE"
