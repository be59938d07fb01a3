"""Names of what a TPM holds, and Qualified Names: where in it a key hangs (TPM 2.0 Part 1,
"Names")."""

import struct

from swt3_agent.tcg.algorithms import Algorithm, digest

ENDORSEMENT_HIERARCHY = bytes.fromhex("4000000b")  # TPM_RH_ENDORSEMENT, a hierarchy's own Name


def name_of(name_alg: Algorithm, public_area: bytes) -> bytes:
    """The Name of a key (TPMT_PUBLIC) or an NV index (TPMS_NV_PUBLIC): nameAlg ‖ H(public area)."""
    return struct.pack(">H", name_alg) + digest(name_alg, public_area)


def qualified_name(parent: bytes, name: bytes) -> bytes:
    """The Qualified Name of a key of ``name`` (nameAlg SHA-256) under a parent of this Qualified
    Name, or in a hierarchy of this handle."""
    return name_of(Algorithm.SHA256, parent + name)


def under_endorsement_primary(primary: bytes, name: bytes) -> bytes:
    """The Qualified Name of a key of ``name`` whose parent, of Name ``primary``, is a primary of
    the endorsement hierarchy: what a TPM says in every attestation that the key signs."""
    return qualified_name(qualified_name(ENDORSEMENT_HIERARCHY, primary), name)
