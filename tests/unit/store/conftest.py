from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swt3_agent.store.journal import Journal

OpenJournal = Callable[..., Journal]


@pytest.fixture
def journal_dir(tmp_path: Path) -> Path:
    """A state directory with room for a journal and its keys."""
    for name in ("journal", "keys", "evidence"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def open_journal(journal_dir: Path) -> Iterator[OpenJournal]:
    """Opens the journal in ``journal_dir``, as often as asked; closes what a test left open."""
    opened: list[Journal] = []

    def open_it(*, readonly: bool = False) -> Journal:
        journal = Journal.open(journal_dir / "journal", journal_dir / "keys", readonly=readonly)
        opened.append(journal)
        return journal

    yield open_it
    for journal in opened:
        journal.close()
