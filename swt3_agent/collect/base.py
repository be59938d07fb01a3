"""The one interface of every source of evidence (RFC 9334: the attester's claims collector)."""

from typing import Protocol

from swt3_agent.protocol.evidence import Reading


class Collector(Protocol):
    """A source of evidence, run once per ``interval_s`` seconds.

    ``collect`` always returns: evidence, or the typed reason why there is none. It raises nothing
    for anything the node can do to it, and it is done within ``timeout_s`` seconds or says BUSY.
    The caller measures how long it took.
    """

    @property
    def name(self) -> str:
        """Stable name: the ``collector`` of every reading."""

    @property
    def interval_s(self) -> float:
        """Seconds between two readings."""

    @property
    def timeout_s(self) -> float:
        """The longest that one reading may take, in seconds."""

    def collect(self) -> Reading:
        """Take one reading."""
