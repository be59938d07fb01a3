"""The journal as the intake sees it: somewhere to append, that knows which batches it has."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import cast

from swt3_agent.protocol.custody import CustodyEntry, CustodySink
from swt3_agent.relay.sink import Commit, Draft, StoredRecord
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Journal


class CatalogedJournal:
    """A `relay.sink.RecordSink` over custody, the journal and its index."""

    def __init__(self, journal: Journal, catalogue: Catalogue, custody: CustodySink) -> None:
        self._journal = journal
        self._catalogue = catalogue
        self._custody = custody

    def append(
        self, drafts: Sequence[Draft], withheld: Sequence[CustodyEntry] = ()
    ) -> "Future[Commit]":
        """Queue the drafts for the next group commit, once custody has what was withheld."""
        # The journal's Commit is one of these; Future is invariant, so the checker cannot see it.
        if not withheld:
            return cast("Future[Commit]", self._journal.append(drafts))
        kept = self._custody.put(withheld)
        committed: Future[Commit] = Future()
        committed.set_running_or_notify_cancel()  # as the journal's own
        kept.add_done_callback(lambda done: self._commit(done, drafts, committed))
        return committed

    def _commit(
        self, kept: "Future[None]", drafts: Sequence[Draft], committed: "Future[Commit]"
    ) -> None:
        """Go on to the journal; called in custody's thread, which must not wait for it."""
        try:
            kept.result()
            stored = self._journal.append(drafts)
        except Exception as error:  # noqa: BLE001  # whatever it is, the producer must be told
            committed.set_exception(error)
            return
        stored.add_done_callback(lambda done: _hand_on(cast("Future[Commit]", done), committed))

    def last_batch(self, tenant: str, client: str) -> int | None:
        """The highest batch number stored for ``client`` of ``tenant``."""
        return self._catalogue.last_batch(tenant, client)

    def find_batch(self, tenant: str, client: str, batch: int) -> Sequence[StoredRecord]:
        """The records of that batch, in order."""
        row = self._catalogue.find_batch(tenant, client, batch)
        if row is None:
            return ()
        records = self._journal.scan(row.first_seq, row.first_seq + row.total)
        return [StoredRecord(record.seq, record.kind, record.provenance) for record in records]


def _hand_on(stored: "Future[Commit]", committed: "Future[Commit]") -> None:
    error = stored.exception()
    if error is None:
        committed.set_result(stored.result())
    else:
        committed.set_exception(error)
