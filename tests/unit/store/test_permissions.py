from pathlib import Path

import pytest

from swt3_agent.errors import JournalError, StateError
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.fsck import check
from swt3_agent.store.journal import Journal
from swt3_agent.store.state import StateDirectory
from tests.unit.store.conftest import OpenJournal
from tests.unit.store.records import RAW, append, drafts, texts

pytestmark = pytest.mark.permissions


@pytest.mark.parametrize("inside", [True, False])
def test_a_directory_that_may_not_be_written_is_refused(tmp_path: Path, inside: bool) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StateError) as refused:
        StateDirectory.open(tmp_path / "state" if inside else tmp_path)
    assert refused.value.code == "STATE_DENIED"


def test_a_directory_of_another_user_is_refused() -> None:
    with pytest.raises(StateError, match="belongs to uid 0") as refused:
        StateDirectory.open(Path("/"))
    assert refused.value.code == "STATE_NOT_OURS"


def test_a_lock_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    StateDirectory.open(tmp_path).close()
    (tmp_path / "lock").chmod(0)
    with pytest.raises(StateError) as refused:
        StateDirectory.peek(tmp_path)
    assert refused.value.code == "STATE_DENIED"


def test_a_segment_that_may_not_be_read_is_named(
    journal_dir: Path, open_journal: OpenJournal
) -> None:
    journal = open_journal()
    append(journal, "a")
    journal.close()
    (journal_dir / "journal" / RAW).chmod(0)
    with pytest.raises(JournalError, match=RAW) as refused:
        open_journal()
    assert refused.value.code == "JOURNAL_UNREADABLE"


def test_a_journal_that_may_not_be_written_refuses_and_goes_on_when_it_may(
    journal_dir: Path, open_journal: OpenJournal
) -> None:
    journal = open_journal()
    (journal_dir / "journal").chmod(0o500)
    failed = journal.append(drafts(1)).exception()
    assert isinstance(failed, JournalError)
    assert (failed.code, failed.retryable) == ("JOURNAL_UNWRITABLE", True)
    assert journal.size == 0
    (journal_dir / "journal").chmod(0o700)
    assert append(journal, "now") == 0
    assert texts(journal.scan(0)) == ["now"]


def test_evidence_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(JournalError) as refused:
        EvidenceStore(tmp_path).put(b"seen")
    assert refused.value.code == "EVIDENCE_UNWRITABLE"


def test_a_check_names_what_it_may_not_read(tmp_path: Path) -> None:
    with StateDirectory.open(tmp_path) as state:
        layout = state.layout
        with Journal.open(layout.journal, layout.keys) as journal:
            append(journal, "a")
    (layout.journal / RAW).chmod(0)
    assert [found.code for found in check(tmp_path)] == ["SEGMENT_UNREADABLE"]
    layout.journal.chmod(0)
    with pytest.raises(StateError) as refused:
        check(tmp_path)
    assert refused.value.code == "STATE_DENIED"
    layout.journal.chmod(0o700)
