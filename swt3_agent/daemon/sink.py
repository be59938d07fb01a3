"""The journal as the intake sees it: somewhere to append, that knows which batches it has."""

from collections.abc import Sequence
from concurrent.futures import Future

from swt3_agent.relay.sink import Draft, StoredRecord
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Commit, Journal


class CatalogedJournal:
    """A `relay.sink.RecordSink` over the journal and its index."""

    def __init__(self, journal: Journal, catalogue: Catalogue) -> None:
        self._journal = journal
        self._catalogue = catalogue

    def append(self, drafts: Sequence[Draft]) -> "Future[Commit]":
        """Queue the drafts for the next group commit."""
        return self._journal.append(drafts)
