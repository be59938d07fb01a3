"""The SWT3 tree over sorted fingerprints (docs/protocol.md 9).

It exists for session and daily roots that others compute too. It covers fingerprints only, 48
bits each, and neither content nor verdict: the log's own tree is in
:mod:`swt3_agent.protocol.log_tree`. Hashes are over hex text, not bytes. Standard library only.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from swt3_agent.errors import FormatError


@dataclass(frozen=True, slots=True)
class MerkleStep:
    """One sibling on the way to the root; ``position`` is its side, "left" or "right"."""

    hash: str
    position: str


@dataclass(frozen=True, slots=True)
class MerkleProof:
    """That ``fingerprint`` is among those under ``root``. A promoted node adds no step."""

    fingerprint: str
    leaf_hash: str
    root: str
    steps: tuple[MerkleStep, ...]


class MerkleTree:
    """The tree over a multiset of fingerprints, with every level kept.

    Inputs are sorted bytewise and duplicates stay as separate leaves; neighbours are paired and an
    odd last node is promoted unchanged. A tree of n leaves holds about 2n hashes, so that all
    proofs together cost no further hashing.
    """

    def __init__(self, fingerprints: Iterable[str]) -> None:
        # Code point order of str is the bytewise order of UTF-8.
        self._sorted = sorted(fingerprints)
        # The hashes are written out here and in parents: a call for each costs a third more time.
        self._levels = [[sha256(f"SWT3:LEAF:{leaf}".encode()).hexdigest() for leaf in self._sorted]]
        while len(self._levels[-1]) > 1:
            self._levels.append(parents(self._levels[-1]))

    def __len__(self) -> int:
        return len(self._sorted)

    @property
    def root(self) -> str:
        """64 hex characters; empty text for the tree of nothing."""
        top = self._levels[-1]
        return top[0] if top else ""

    def proof(self, fingerprint: str) -> MerkleProof:
        """The proof for the first of equal leaves.

        Raises FormatError (NOT_IN_TREE) for a fingerprint that is not among the leaves.
        """
        index = bisect_left(self._sorted, fingerprint)
        if index == len(self._sorted) or self._sorted[index] != fingerprint:
            raise FormatError(
                "NOT_IN_TREE",
                f"fingerprint {fingerprint} is not among the {len(self)} leaves of this tree",
                remedy="ask for the tree of the session or day that holds the record",
            )
        leaf = self._levels[0][index]
        steps = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                steps.append(MerkleStep(level[sibling], "left" if index & 1 else "right"))
            index //= 2
        return MerkleProof(fingerprint, leaf, self.root, tuple(steps))

    def proofs(self) -> Iterator[MerkleProof]:
        """The proof of every leaf, in sorted order, duplicates included; made as they are asked."""
        for fingerprint, leaf, steps in zip(
            self._sorted, self._levels[0], self._paths(0), strict=True
        ):
            yield MerkleProof(fingerprint, leaf, self.root, steps)

    def _paths(self, height: int) -> Iterator[tuple[MerkleStep, ...]]:
        """The way to the root from every node of a level: its sibling, then its parent's way."""
        level = self._levels[height]
        if len(level) < 2:
            yield from ([()] * len(level))
            return
        above = self._paths(height + 1)
        for left, right in zip(level[::2], level[1::2], strict=False):
            path = next(above)
            yield (MerkleStep(right, "right"), *path)
            yield (MerkleStep(left, "left"), *path)
        yield from above  # what an odd last node has: it was promoted


def get_merkle_root(fingerprints: Iterable[str]) -> str:
    """The root over ``fingerprints``; empty text where there are none."""
    return MerkleTree(fingerprints).root


def get_merkle_proof(fingerprints: Iterable[str], fingerprint: str) -> MerkleProof:
    """The proof that ``fingerprint`` is one of ``fingerprints``.

    Raises FormatError (NOT_IN_TREE) if it is not. For many proofs keep a :class:`MerkleTree`.
    """
    return MerkleTree(fingerprints).proof(fingerprint)


def verify_merkle_proof(proof: MerkleProof) -> bool:
    """Whether the proof folds to its root, starting from the fingerprint it names.

    True says that the fingerprint is a leaf under ``proof.root`` and nothing about where that
    root comes from: compare it with one that is trusted.
    """
    node = leaf_hash(proof.fingerprint)
    if node != proof.leaf_hash:
        return False
    for step in proof.steps:
        if step.position == "left":
            node = node_hash(step.hash, node)
        elif step.position == "right":
            node = node_hash(node, step.hash)
        else:
            return False
    return node == proof.root


def flat_enclave_signature(fingerprints: Iterable[str]) -> str:
    """SHA-256 over the sorted fingerprints joined by colons: 64 hex characters.

    The older digest over a set of anchors; it allows no proof of a single one.
    """
    return _sha256_hex(":".join(sorted(fingerprints)))


def leaf_hash(fingerprint: str) -> str:
    """The hash of a leaf: 64 hex characters."""
    return _sha256_hex(f"SWT3:LEAF:{fingerprint}")


def node_hash(left: str, right: str) -> str:
    """The hash of an inner node over the hex text of its children: 64 hex characters."""
    return _sha256_hex(f"SWT3:NODE:{left}:{right}")


def parents(level: list[str]) -> list[str]:
    """The level above ``level``; an odd last node is promoted unchanged."""
    above = [
        sha256(f"SWT3:NODE:{left}:{right}".encode()).hexdigest()
        for left, right in zip(level[::2], level[1::2], strict=False)
    ]
    return above + level[-1:] if len(level) % 2 else above


def _sha256_hex(text: str) -> str:
    return sha256(text.encode()).hexdigest()
