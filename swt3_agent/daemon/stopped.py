"""The log where no daemon runs: read under its lock, never written."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from swt3_agent.config import Config
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.journal import Journal
from swt3_agent.store.state import StateDirectory, existing_layout


@dataclass(frozen=True, slots=True)
class StoppedLog:
    """What of a node can be read without starting it."""

    journal: Journal
    catalogue: Catalogue
    evidence: EvidenceStore


@contextmanager
def stopped_log(config: Config) -> Iterator[StoppedLog]:
    """The log in the state directory of ``config``.

    Raises StateError or JournalError where there is none that can be read.
    """
    layout = existing_layout(config.state_dir)
    with (
        StateDirectory.open(layout.root),
        Journal.open(layout.journal, layout.keys, readonly=True) as journal,
        Catalogue.open(layout.catalogue, journal) as catalogue,
    ):
        yield StoppedLog(journal, catalogue, EvidenceStore(layout.evidence))
