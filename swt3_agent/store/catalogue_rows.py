"""What the catalogue answers with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rejection:
    """One refused record of a batch: its place in the batch, why, and where it is quarantined."""

    index: int
    code: str
    error: str
    seq: int


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A stored batch. What it lost unkept is in the provenance of its first record alone.

    Its records are ``first_seq`` .. ``first_seq + total - 1``; the refused ones are quarantined.
    """

    client: str
    batch: int
    first_seq: int
    total: int
    accepted: int
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class HeadEntry:
    """A checkpoint: sequence numbers of its note and its quote (None: unsigned), and its size."""

    note_seq: int
    size: int
    quote_seq: int | None


@dataclass(frozen=True, slots=True)
class KindCount:
    """How many records of a kind there are, and the last of them."""

    count: int
    last_seq: int
