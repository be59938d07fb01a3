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
        self._read: deque[tuple[int, int, tuple[str, int]]] = deque()

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
        while self._read and self._read[0][1] <= indexed:
            self._read.popleft()
        while self._noted and self._noted[0].end <= indexed:
            self._noted.popleft()

    def find(self, key: tuple[str, int], indexed: int) -> tuple[int, int] | None:
        """Records [first, end) of a batch, as far as they are fresh."""
        self._read_noted(indexed)
        run = None
        for first, end, other in self._read:
            if other == key:
                run = merge_run(run, first, end)
        return run

    def last(self, client: str, indexed: int) -> int | None:
        """The highest fresh batch number of ``client``."""
        self._read_noted(indexed)
        numbers = (batch for _, _, (other, batch) in self._read if other == client)
        return max(numbers, default=None)

    def _read_noted(self, indexed: int) -> None:
        self.forget(indexed)
        while self._noted:
            run = self._noted.popleft()
            key = read_provenance(run.provenance).batch_key
            if key is not None:
                self._read.append((run.first, run.end, key))
