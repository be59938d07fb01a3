"""The log: salted leaves in an RFC 9162 tree (docs/formats.md, "Log leaf").

    salts = SHA-256(segment key ‖ u64be seq): first 16 bytes salt_p, last 16 bytes salt_v
    leaf  = SHA-256(0x00 ‖ "swt3-leaf/v1\\0" ‖ u64be seq
                    ‖ SHA-256(salt_p ‖ payload) ‖ SHA-256(salt_v ‖ provenance))
    node  = SHA-256(0x01 ‖ left ‖ right)

The salts let a proof show a payload without its provenance, and keep a neighbour's record from
being guessed from a sibling hash. Hashes are 32 bytes everywhere; ``seq`` is the leaf index.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from struct import Struct

HASH_SIZE = 32
SALT_SIZE = 16
EMPTY_ROOT = sha256(b"").digest()
"""Root of the tree without leaves (RFC 9162 2.1.1)."""

RangeHash = Callable[[int, int], bytes]
"""Root of the leaves ``[start, end)``. The builders below ask only for ranges that the tree has:
``start`` is a multiple of the smallest power of two that is not less than ``end - start``."""

_LEAF_DOMAIN = b"\x00swt3-leaf/v1\x00"
_NODE_DOMAIN = b"\x01"
_pack_seq = Struct(">Q").pack


def salts(segment_key: bytes, seq: int) -> tuple[bytes, bytes]:
    """Salts of payload and provenance of record ``seq``: 16 bytes each."""
    digest = sha256(segment_key + _pack_seq(seq)).digest()
    return digest[:SALT_SIZE], digest[SALT_SIZE:]


def salted_digest(salt: bytes, content: bytes) -> bytes:
    """What the leaf holds of payload or provenance: all a proof shows of what it withholds."""
    return sha256(salt + content).digest()


def leaf_from_digests(seq: int, payload_digest: bytes, provenance_digest: bytes) -> bytes:
    """Leaf hash of record ``seq`` from the two salted digests."""
    return sha256(_LEAF_DOMAIN + _pack_seq(seq) + payload_digest + provenance_digest).digest()


def leaf_hash(seq: int, salt_p: bytes, payload: bytes, salt_v: bytes, provenance: bytes) -> bytes:
    """Leaf hash of a whole record."""
    return sha256(
        _LEAF_DOMAIN
        + _pack_seq(seq)
        + sha256(salt_p + payload).digest()
        + sha256(salt_v + provenance).digest()
    ).digest()


def leaf_hashes(
    segment_key: bytes, first_seq: int, records: Iterable[tuple[bytes, bytes]]
) -> list[bytes]:
    """Leaf hashes of a run of records of one segment, ``(provenance, payload)`` each.

    The same as ``leaf_hash(seq, *salts)`` one by one, in one tight loop: every record passes here.
    """
    hash_of, pack, domain = sha256, _pack_seq, _LEAF_DOMAIN
    leaves: list[bytes] = []
    add = leaves.append
    seq = first_seq
    for provenance, payload in records:
        packed_seq = pack(seq)
        both_salts = hash_of(segment_key + packed_seq).digest()
        add(
            hash_of(
                domain
                + packed_seq
                + hash_of(both_salts[:16] + payload).digest()
                + hash_of(both_salts[16:] + provenance).digest()
            ).digest()
        )
        seq += 1
    return leaves


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node (RFC 9162 2.1.1)."""
    return sha256(_NODE_DOMAIN + left + right).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Root over ``leaves`` (RFC 9162 2.1.1); ``EMPTY_ROOT`` where there are none.

    Works level by level; an odd last node moves up unchanged, which gives the same tree as the
    recursive definition.
    """
    if not leaves:
        return EMPTY_ROOT
    hash_of, domain = sha256, _NODE_DOMAIN
    level = list(leaves)
    while len(level) > 1:
        above = [
            hash_of(domain + left + right).digest()
            for left, right in zip(level[::2], level[1::2])  # noqa: B905  # odd one moves up
        ]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]


def fold_range(complete_subtree: RangeHash, start: int, end: int) -> bytes:
    """Root of ``[start, end)`` from complete, aligned subtrees: O(log n) calls.

    ``start`` must be aligned as ``RangeHash`` says. Turns a store that keeps only complete
    subtrees (a segment's root) into a ``RangeHash``:
    ``lambda start, end: fold_range(complete_subtree, start, end)``.
    """
    if start == end:
        return EMPTY_ROOT
    peaks = []
    at = start
    while at < end:
        span = 1 << ((end - at).bit_length() - 1)
        peaks.append(complete_subtree(at, at + span))
        at += span
    node = peaks.pop()
    while peaks:
        node = node_hash(peaks.pop(), node)
    return node


def inclusion_path_from(range_hash: RangeHash, index: int, size: int) -> list[bytes]:
    """Path from leaf ``index`` to the root of ``size`` leaves (RFC 9162 2.1.3.1), leaf side first.

    Raises ValueError where ``index`` is not in the tree.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_hash(middle, end))
            end = middle
        else:
            path.append(range_hash(start, middle))
            start = middle
    path.reverse()
    return path


def consistency_path_from(range_hash: RangeHash, old_size: int, new_size: int) -> list[bytes]:
    """Proof that the tree of ``new_size`` begins with that of ``old_size`` (RFC 9162 2.1.4.1).

    Empty where the sizes are equal or the old tree is empty: there is nothing to prove then.
    Raises ValueError where the old tree is the larger.
    """
    if not 0 <= old_size <= new_size:
        raise ValueError(f"a tree of {new_size} cannot begin with one of {old_size}")
    if old_size in (0, new_size):
        return []
    path = []
    start, end = 0, new_size
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(range_hash(middle, end))
            end = middle
        else:
            path.append(range_hash(start, middle))
            start = middle
    if start > 0:  # else the verifier holds this root already: it is the old tree's
        path.append(range_hash(start, end))
    path.reverse()
    return path


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """``inclusion_path_from`` for leaves in memory."""
    return inclusion_path_from(_range_hash_of(leaves), index, len(leaves))


def consistency_path(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """``consistency_path_from`` for leaves in memory."""
    return consistency_path_from(_range_hash_of(leaves), old_size, len(leaves))


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> bool:
    """Whether ``path`` leads from ``leaf`` at ``index`` to ``root`` (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size or not _all_hashes((leaf, root, *path)):
        return False
    position, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and node == root


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether the tree ``new_root`` begins with the tree ``old_root`` (RFC 9162 2.1.4.2).

    An empty old tree begins every tree; its root must be ``EMPTY_ROOT`` all the same.
    """
    if not 0 <= old_size <= new_size or not _all_hashes((old_root, new_root, *path)):
        return False
    if old_size == new_size:
        return not path and old_root == new_root
    if old_size == 0:
        return not path and old_root == EMPTY_ROOT
    hashes = list(path)
    if old_size & (old_size - 1) == 0:  # the old root is itself the first node of the path
        hashes.insert(0, old_root)
    if not hashes:
        return False
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old_node = new_node = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old_node = node_hash(sibling, old_node)
            new_node = node_hash(sibling, new_node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new_node = node_hash(new_node, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and old_node == old_root and new_node == new_root


def _split(size: int) -> int:
    """Largest power of two smaller than ``size`` (> 1): where RFC 9162 divides a tree."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_hash_of(leaves: Sequence[bytes]) -> RangeHash:
    return lambda start, end: tree_root(leaves[start:end])


def _all_hashes(values: Iterable[bytes]) -> bool:
    return all(len(value) == HASH_SIZE for value in values)
