import errno
import stat
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from swt3_agent.errors import JournalError
from swt3_agent.store import durable
from swt3_agent.store.evidence_store import EvidenceStore


def test_evidence_is_kept_under_its_digest_and_private(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    digest = store.put(b"a boot log")
    assert digest == sha256(b"a boot log").hexdigest()
    assert store.get(digest) == b"a boot log"
    assert stat.S_IMODE((tmp_path / digest).stat().st_mode) == 0o600


def test_the_same_evidence_is_stored_once(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    digest = store.put(b"same")
    before = store.path(digest).stat()
    assert store.put(b"same") == digest
    after = store.path(digest).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert [path.name for path in tmp_path.iterdir()] == [digest]


def test_changed_and_missing_evidence_are_told_apart(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    digest = store.put(b"as seen")
    (tmp_path / digest).write_bytes(b"as wished")
    with pytest.raises(JournalError) as changed:
        store.get(digest)
    assert changed.value.code == "EVIDENCE_CHANGED"
    (tmp_path / digest).unlink()
    with pytest.raises(JournalError) as missing:
        store.get(digest)
    assert missing.value.code == "EVIDENCE_MISSING"


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63])
def test_only_a_digest_names_evidence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no SHA-256"):
        EvidenceStore(tmp_path).get(name)


def test_a_full_disk_is_said_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "write_all", full)
    with pytest.raises(JournalError) as refused:
        EvidenceStore(tmp_path).put(b"too much")
    assert (refused.value.code, refused.value.retryable) == ("DISK_FULL", True)
    assert list(tmp_path.iterdir()) == []


def test_threads_that_store_the_same_evidence_do_not_disturb_each_other(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(store.put, [b"seen by all"] * 64))
    assert [path.name for path in tmp_path.iterdir()] == list(digests)
