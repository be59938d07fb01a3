"""Batches that are committed and not indexed yet.

A producer may repeat a batch the moment after its first answer was lost. Until the follower has
indexed the batch this remembers it, from what the writer thread passes by: which records, and their
provenance, which is read only when somebody asks.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from swt3_agent.protocol.record import Kind
from swt3_agent.store.segment_index import merge_run, read_provenance


class _Run(NamedTuple):
    """Records [first, end) with the same provenance."""

    first: int
    end: int
    provenance: bytes


class FreshBatches:
    """``note`` is for the writer thread; the rest is for one thread at a time."""

    def __init__(self) -> None:
        self._noted: deque[_Run] = deque()
        self._order: deque[tuple[int, tuple[str, int]]] = deque()
        self._runs: dict[tuple[str, int], tuple[int, int]] = {}
        self._last: dict[str, int] = {}

    def note(self, first_seq: int, appends: Sequence[Sequence[tuple[Kind, bytes, bytes]]]) -> None:
        """Remember the records of a commit (``journal.CommitObserver``)."""
        seq = run_first = first_seq
        last: bytes | None = None
        for drafts in appends:
            for _, provenance, _ in drafts:
                if provenance is not last and provenance != last:
                    if last is not None:
                        self._noted.append(_Run(run_first, seq, last))
                    last, run_first = provenance, seq
                seq += 1
        if last is not None:
            self._noted.append(_Run(run_first, seq, last))

    def forget(self, indexed: int) -> None:
        """Drop what is indexed: all records before ``indexed``."""
        while self._noted and self._noted[0].end <= indexed:
            self._noted.popleft()
        while self._order and self._order[0][0] <= indexed:
            _, key = self._order.popleft()
            if self._runs.get(key, (0, 0))[1] <= indexed:
                self._runs.pop(key, None)
                client, batch = key
                if self._last.get(client) == batch:
                    del self._last[client]

    def find(self, key: tuple[str, int], indexed: int) -> tuple[int, int] | None:
        """Records [first, end) of a batch, as far as they are fresh."""
        self._read_noted(indexed)
        return self._runs.get(key)

    def last(self, client: str, indexed: int) -> int | None:
        """The highest fresh batch number of ``client``."""
        self._read_noted(indexed)
        return self._last.get(client)

    def _read_noted(self, indexed: int) -> None:
        self.forget(indexed)
        while self._noted:
            run = self._noted.popleft()
            key = read_provenance(run.provenance).batch_key
            if key is not None:
                client, batch = key
                self._order.append((run.end, key))
                self._runs[key] = merge_run(self._runs.get(key), run.first, run.end)
                self._last[client] = max(batch, self._last.get(client, batch))
