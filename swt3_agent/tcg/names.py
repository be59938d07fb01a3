"""Qualified Names: where in a TPM a key hangs (TPM 2.0 Part 1, "Names")."""

from hashlib import sha256

ENDORSEMENT_HIERARCHY = bytes.fromhex("4000000b")  # TPM_RH_ENDORSEMENT, a hierarchy's own Name
_SHA256 = b"\x00\x0b"


def qualified_name(parent: bytes, name: bytes) -> bytes:
    """The Qualified Name of a key of ``name`` (nameAlg SHA-256) under a parent of this Qualified
    Name, or in a hierarchy of this handle."""
    return _SHA256 + sha256(parent + name).digest()


def under_endorsement_primary(primary: bytes, name: bytes) -> bytes:
    """The Qualified Name of a key of ``name`` whose parent, of Name ``primary``, is a primary of
    the endorsement hierarchy: what a TPM says in every attestation that the key signs."""
    return qualified_name(qualified_name(ENDORSEMENT_HIERARCHY, primary), name)
