"""What delivery needs of others: a log to read, and somewhere to keep what was answered."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from swt3_agent.protocol.record import Record


class RecordSource(Protocol):
    """The log: committed records, in order."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def scan(self, start: int, stop: int | None = None) -> Iterator[Record]:
        """Those from ``start`` to before ``stop``, each checked. Raises JournalError."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What the ledger said to record ``seq``. ``differs`` is our verdict where its is another."""

    seq: int
    ok: bool
    error: str | None = None
    token: str | None = None
    verdict: str | None = None
    signature_verified: bool | None = None
    differs: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Records of ``[first, end)`` without an answer that are not sent, for ``reason`` (a code)."""

    first: int
    end: int
    reason: str


class SettlementSink(Protocol):
    """Keeps durably what became of records."""

    @property
    def cursor(self) -> int:
        """Every record before it needs no sending."""
        ...

    def settle(self, first: int, end: int, answers: Sequence[Answer], held: Sequence[Held]) -> None:
        """The records of ``[first, end)`` are dealt with: each was answered or is held.

        Raises JournalError when that cannot be kept; then it is tried again.
        """
        ...
