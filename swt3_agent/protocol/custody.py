"""Custody: what clearing removes from a record, and the record's commitment to it.

A cleared record names what arrived by a keyed hash (docs/formats.md, "Custody"). The key is random
for each record and lies in custody only: a plain hash of an original with little entropy gives the
original away to whoever tries all of them. Standard library only.
"""

import hmac
import secrets
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

SECRET_SIZE = 32
CUSTODY_FROM_LEVEL = 2
"""The lowest clearing level at which the agent's own anchors leave something to custody."""


@dataclass(frozen=True, slots=True)
class CustodyEntry:
    """One record before and after clearing.

    ``secret`` is the key of the commitment, ``original`` the bytes as they came, ``cleared`` those
    that the journal keeps, ``level`` the clearing level (0 to 3) that made the difference.
    """

    tenant: str
    secret: bytes = field(repr=False)
    original: bytes = field(repr=False)
    cleared: bytes = field(repr=False)
    level: int


def commitment(secret: bytes, original: bytes) -> str:
    """HMAC-SHA-256 of ``original`` in hex: ``original`` in the provenance of a cleared record."""
    return hmac.digest(secret, original, "sha256").hex()


def withheld(tenant: str, original: bytes, cleared: bytes, level: int) -> CustodyEntry:
    """An entry under a new secret."""
    return CustodyEntry(tenant, secrets.token_bytes(SECRET_SIZE), original, cleared, level)


class CustodySink(Protocol):
    """Where what clearing removed is kept."""

    def put(self, entries: Sequence[CustodyEntry]) -> "Future[None]":
        """Queue ``entries``; the future resolves when they are durable.

        Raises JournalError ``CUSTODY_BUSY`` when too much waits; the future fails with one whose
        code starts with ``CUSTODY_``.
        """
        ...
