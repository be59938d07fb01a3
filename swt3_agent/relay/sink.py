"""Where relayed records go: the interface that the daemon hands in (the journal, adapted)."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from swt3_agent.protocol.custody import CustodyEntry
from swt3_agent.protocol.record import Kind

Draft = tuple[Kind, bytes, bytes]
"""Kind, provenance (RFC 8785 JSON), payload (exact bytes): a record that has no number yet."""


class Commit(Protocol):
    """Records that are durable: ``count`` of them, numbered from ``first_seq`` without a gap."""

    @property
    def first_seq(self) -> int: ...
    @property
    def count(self) -> int: ...


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """What is needed of a stored record to give the answer of its batch once more."""

    seq: int
    kind: Kind
    provenance: bytes


class RecordSink(Protocol):
    """Stores records and knows which batches it has.

    The two look-ups speak of everything that was ever committed. They may block on a disk, so the
    intake calls them on a thread of its own and never from the event loop.
    """

    def append(
        self, drafts: Sequence[Draft], withheld: Sequence[CustodyEntry] = ()
    ) -> "Future[Commit]":
        """Store ``drafts`` in this order, all or none; returns at once.

        ``withheld`` is what clearing removed from them: it is durable in custody before any of
        them is stored.

        Raises JournalError (BUSY) at once when too much waits already. The future fails with
        JournalError: DISK_FULL when nothing was stored for want of space, a code that starts with
        ``CUSTODY_`` when custody could not take what was withheld and so nothing was stored, any
        other code when it is not known whether it was.
        """
        ...

    def last_batch(self, tenant: str, client: str) -> int | None:
        """The highest batch number stored for ``client`` of ``tenant``; None when there is none.

        Two tenants may have clients of one name: neither hears of the other's batches.
        """
        ...

    def find_batch(self, tenant: str, client: str, batch: int) -> Sequence[StoredRecord]:
        """The records of that batch in order of ``seq``; empty when there is none."""
        ...
