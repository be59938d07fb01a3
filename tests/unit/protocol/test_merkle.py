"""The sorted tree: docs/protocol.md 9."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.merkle import (
    MerkleStep,
    MerkleTree,
    flat_enclave_signature,
    get_merkle_proof,
    get_merkle_root,
    verify_merkle_proof,
)
from tests.unit.protocol import published_sdk

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "merkle.json").read_text())
SDK = published_sdk.load("merkle")

fingerprints = st.text("0123456789abcdef", min_size=12, max_size=12)
few = st.lists(fingerprints, max_size=40)
some = st.lists(fingerprints, min_size=1, max_size=40)


@pytest.mark.parametrize("vector", VECTORS["roots"], ids=lambda v: str(len(v["fingerprints"])))
def test_known_roots(vector: dict[str, Any]) -> None:
    assert get_merkle_root(vector["fingerprints"]) == vector["root"]
    assert get_merkle_root(reversed(vector["fingerprints"])) == vector["root"]


def test_known_proof() -> None:
    vector = VECTORS["proof"]
    proof = get_merkle_proof(vector["fingerprints"], vector["fingerprint"])
    assert proof.leaf_hash == vector["leaf_hash"]
    assert proof.steps == tuple(MerkleStep(**step) for step in vector["steps"])
    assert verify_merkle_proof(proof)


@pytest.mark.parametrize("vector", VECTORS["flat"])
def test_known_flat_signature(vector: dict[str, Any]) -> None:
    assert flat_enclave_signature(vector["fingerprints"]) == vector["signature"]


@given(few)
def test_roots_agree_with_the_published_sdk(leaves: list[str]) -> None:
    assert get_merkle_root(leaves) == SDK.get_merkle_root(leaves)


@given(some)
def test_every_proof_verifies_and_names_its_leaf(leaves: list[str]) -> None:
    tree = MerkleTree(leaves)
    proofs = list(tree.proofs())
    assert [proof.fingerprint for proof in proofs] == sorted(leaves)
    assert all(proof.root == tree.root and verify_merkle_proof(proof) for proof in proofs)
    assert get_merkle_proof(leaves, leaves[0]) in proofs


@given(st.lists(fingerprints, min_size=1, max_size=40, unique=True), fingerprints)
def test_a_proof_is_of_its_own_leaf_and_root_only(leaves: list[str], other: str) -> None:
    proof = get_merkle_proof(leaves, leaves[0])
    if other != leaves[0]:
        assert not verify_merkle_proof(replace(proof, fingerprint=other))
    assert not verify_merkle_proof(replace(proof, root="0" * 64))
    for index, step in enumerate(proof.steps):
        swapped = MerkleStep(step.hash, "left" if step.position == "right" else "right")
        steps = (*proof.steps[:index], swapped, *proof.steps[index + 1 :])
        assert not verify_merkle_proof(replace(proof, steps=steps))
    assert not verify_merkle_proof(replace(proof, steps=(MerkleStep("0" * 64, "above"),)))


@given(few, fingerprints)
def test_there_is_no_proof_of_what_is_not_there(leaves: list[str], absent: str) -> None:
    with pytest.raises(FormatError) as error:
        get_merkle_proof([leaf for leaf in leaves if leaf != absent], absent)
    assert error.value.code == "NOT_IN_TREE"


def test_an_inner_node_does_not_pass_for_a_leaf() -> None:
    leaves = ["c059eb5938c0", "4ed784765e6c", "9b2923db0f62"]
    tree = MerkleTree(leaves)
    left, right = (proof.leaf_hash for proof in list(tree.proofs())[:2])
    assert get_merkle_root([f"{left}:{right}", leaves[0]]) != tree.root
