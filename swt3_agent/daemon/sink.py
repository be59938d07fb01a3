"""The journal as the intake sees it: somewhere to append, that knows which batches it has."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import cast

from swt3_agent.relay.sink import Commit, Draft, StoredRecord
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Journal


class CatalogedJournal:
    """A `relay.sink.RecordSink` over the journal and its index."""

    def __init__(self, journal: Journal, catalogue: Catalogue) -> None:
        self._journal = journal
        self._catalogue = catalogue

    def append(self, drafts: Sequence[Draft]) -> "Future[Commit]":
        """Queue the drafts for the next group commit."""
        # The journal's Commit is one of these; Future is invariant, so the checker cannot see it.
        return cast("Future[Commit]", self._journal.append(drafts))

    def last_batch(self, client: str) -> int | None:
        """The highest batch number stored for ``client``."""
        return self._catalogue.last_batch(client)

    def find_batch(self, client: str, batch: int) -> Sequence[StoredRecord]:
        """The records of that batch, in order."""
        row = self._catalogue.find_batch(client, batch)
        if row is None:
            return ()
        records = self._journal.scan(row.first_seq, row.first_seq + row.total)
        return [StoredRecord(record.seq, record.kind, record.provenance) for record in records]
