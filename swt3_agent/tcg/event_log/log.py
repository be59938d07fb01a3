"""A boot log as it was read, and its replay (TCG PFP 1.06, 10.2.4 and 10.4.5.3)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from swt3_agent.errors import FormatError
from swt3_agent.tcg.algorithms import HASH_NAMES
from swt3_agent.tcg.event_log.events import Event

BANKS: Mapping[str, int] = {name: int(algorithm) for algorithm, name in HASH_NAMES.items()}


@dataclass(frozen=True, slots=True)
class EventLog:
    """A boot log.

    ``algorithms`` are the banks that its header names, TPM_ALG_ID to size of digest in bytes.
    ``truncated``: it stops in the midst of an event, or at bytes that are none; ``events`` are
    those before, and ``unread`` counts the bytes after them. A log that firmware cut between two
    events cannot be told from a whole one: only its replay can. ``startup_locality`` is 0, 3, or 4
    where an H-CRTM measured first.
    """

    algorithms: Mapping[int, int]
    events: tuple[Event, ...]
    startup_locality: int = 0
    truncated: bool = False
    unread: int = 0

    @property
    def banks(self) -> tuple[str, ...]:
        """Names of the banks that can be replayed, as ``replay`` takes them."""
        return tuple(name for name, algorithm in BANKS.items() if algorithm in self.algorithms)

    def replay(self, bank: str = "sha256") -> dict[int, bytes]:
        """The values that the events lead to, of each PCR that they extend.

        A PCR with an event that has no digest for ``bank`` is left out: its value cannot be known.
        Raises FormatError EVENT_LOG_BANK where the log does not have ``bank``.
        """
        algorithm = BANKS.get(bank)
        if algorithm is None or algorithm not in self.algorithms:
            raise FormatError(
                "EVENT_LOG_BANK",
                f"the boot log has no {bank} digests, only {', '.join(self.banks) or 'unknown'}",
                remedy="enable that PCR bank in the firmware settings, or replay one that it has",
            )
        size = self.algorithms[algorithm]
        values: dict[int, bytes] = {}
        unknown = set()
        for event in self.events:
            if not event.extended:
                continue
            digest = event.digest(algorithm)
            if digest is None:
                unknown.add(event.pcr)
                continue
            before = values.get(event.pcr) or self._start(event.pcr, size)
            values[event.pcr] = hashlib.new(bank, before + digest).digest()
        return {pcr: value for pcr, value in sorted(values.items()) if pcr not in unknown}

    def _start(self, pcr: int, size: int) -> bytes:
        """Of all registers only PCR 0 does not start from zero: it shows who started the TPM."""
        return bytes(size - 1) + bytes([self.startup_locality if pcr == 0 else 0])
