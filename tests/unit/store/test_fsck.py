import base64
import json
import os
import shutil
import sqlite3
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from swt3_agent.errors import StateError, TpmError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.key_record import KeyEvent, KeyRecord, encode_key_record
from swt3_agent.protocol.record import (
    FLAG_COMMIT_START,
    Kind,
    Record,
    encode_record,
    iter_frames,
)
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.frames import find_commit_starts
from swt3_agent.store.fsck import Finding, Severity, check
from swt3_agent.store.fsck.findings import REMEDIES
from swt3_agent.store.head_records import parse_note
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.store.segment_file import SEGMENT_RECORDS
from swt3_agent.store.segment_keys import key_file
from swt3_agent.store.state import StateDirectory
from swt3_agent.tcg.public import parse_public
from tests.unit.store.fake_tpm import LOG_PCR, FakeTpm
from tests.unit.store.records import RAW, append, draft, drafts, flip
from tests.unit.store.test_catalogue import batch
from tests.unit.store.test_heads import Node, make
from tests.unit.tcg.vectors import AK_TPMT

Change = Callable[[Record], Record | None]
Damage = Callable[[Path], object]
SEALED = "0000000000000000.seg.zst"


def codes(findings: list[Finding]) -> set[str]:
    return {found.code for found in findings}


def rewrite(path: Path, change: Change) -> None:
    """Forge a segment: every record through ``change`` (None drops it), with good CRCs."""
    records = [record for record, _, _ in iter_frames(path.read_bytes())]
    changed = [forged for record in records if (forged := change(record)) is not None]
    path.write_bytes(b"".join(map(encode_record, changed)) + bytes(4096))


def at(seq: int, change: Change) -> Change:
    return lambda record: change(record) if record.seq == seq else record


def edit_json(record: Record, **changes: object) -> Record:
    return replace(record, payload=canonical_json(json.loads(record.payload) | changes))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with records, evidence and three signed heads; stopped."""
    root = tmp_path_factory.mktemp("small") / "state"
    StateDirectory.open(root).close()
    node = Node(root)
    agent = node.start(FakeTpm())
    evidence = EvidenceStore(root / "evidence")
    digest = evidence.put(b"raw evidence")
    payload = {"collector": "host", "digest": digest, "size": 12}
    payload["attachments"] = {"boot-log": {"digest": evidence.put(b"a boot log"), "size": 10}}
    agent.journal.append([draft(json.dumps(payload), Kind.EVIDENCE)]).result()
    for _ in range(3):
        make(agent)
    write_ak(root / "keys" / "ak.json", AK_TPMT)
    name = parse_public(AK_TPMT).name()
    stated = encode_key_record(KeyRecord(KeyEvent.CREATED, name, AK_TPMT, "software-tpm"))
    agent.journal.append([Draft(Kind.KEY, canonical_json({}), stated)]).result()
    append(agent.journal, "after", "the last", "head")
    append(agent.journal, "last")
    node.stop()
    return root


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with a sealed segment, a catalogue file and a second segment; stopped."""
    root = tmp_path_factory.mktemp("large") / "state"
    StateDirectory.open(root).close()
    with (
        Journal.open(root / "journal", root / "keys") as journal,
        Catalogue.open(root / "catalogue.db", journal) as catalogue,
    ):
        for number in range(SEGMENT_RECORDS // 500 + 3):
            journal.append(batch(number, 500, first=number * 500)).result()
        catalogue.catch_up()
    return root


@pytest.fixture
def state(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "state"))


@pytest.fixture
def large_state(large: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(large, tmp_path / "state"))


def test_a_sound_state_directory_has_no_findings(state: Path) -> None:
    assert check(state) == []


def test_a_sound_log_of_several_segments_has_no_findings(large_state: Path) -> None:
    progress: list[tuple[int, int]] = []
    assert check(large_state, lambda done, total: progress.append((done, total))) == []
    assert progress == sorted(progress)
    assert progress[-1][0] == (SEGMENT_RECORDS // 500 + 3) * 500


def test_a_check_changes_nothing(state: Path) -> None:
    flip(state / "journal" / RAW, 500)
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    assert check(state) != []
    assert before == {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}


def test_a_running_agent_is_not_disturbed_and_what_it_committed_is_checked(state: Path) -> None:
    with (
        StateDirectory.open(state) as held,
        Journal.open(held.layout.journal, held.layout.keys) as journal,
    ):
        end = journal._segments.raw[0].end
        append(journal, "more")
        assert check(state) == []
        path = state / "journal" / RAW
        with path.open("r+b") as file:  # half a commit, as the writer leaves it for a moment
            file.seek(end + 300)
            file.write(b"half")
        assert check(state) == []


def test_commits_that_are_written_while_a_check_looks_are_no_damage(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        StateDirectory.open(state) as held,
        Journal.open(held.layout.journal, held.layout.keys) as journal,
    ):
        looks: list[int] = []

        def commit_first(*arguments: int) -> object:
            if not looks:
                append(journal, "later")
                append(journal, "later still")
            looks.append(journal.size)
            return find_commit_starts(*arguments)

        monkeypatch.setattr("swt3_agent.store.fsck.segments.find_commit_starts", commit_first)
        assert check(state) == []
        assert looks


@pytest.mark.parametrize("file", ["VERSION", "."])
def test_a_directory_without_state_is_refused(state: Path, file: str) -> None:
    if file == ".":
        shutil.rmtree(state)
    else:
        (state / file).unlink()
    with pytest.raises(StateError) as refused:
        check(state)
    assert refused.value.code == "STATE_ABSENT"


def test_every_finding_says_what_to_do(state: Path) -> None:
    flip(state / "journal" / RAW, 500)
    for found in check(state):
        assert found.remedy == REMEDIES[found.code]
        assert found.where
        assert found.detail


@pytest.mark.parametrize(
    ("file", "damage", "severity"),
    [
        (f"journal/{RAW}", "torn", Severity.NOTICE),
        ("catalogue.db", "garbage", Severity.NOTICE),
        (f"journal/{RAW}", "flipped", Severity.DAMAGE),
    ],
)
def test_what_the_next_start_mends_is_no_damage(
    state: Path, file: str, damage: str, severity: Severity
) -> None:
    if damage == "torn":
        leave_half_a_commit(state / file)
    elif damage == "garbage":
        (state / file).write_bytes(b"x" * 5000)
    else:
        flip(state / file, 500)
    assert {found.severity for found in check(state)} == {severity}
    if severity is Severity.NOTICE:
        node = Node(state)
        node.start(FakeTpm())
        node.stop()
        assert check(state) == []


# Damage as disks and people make it: file name, what happens to it, what is found.


def damage_frame(path: Path) -> None:
    flip(path, 300)


def damage_last_commit(path: Path) -> None:
    data = path.read_bytes().rstrip(b"\0")
    flip(path, len(data) - 5)


def leave_half_a_commit(path: Path) -> None:
    """What a power cut leaves: the start of a frame after the last whole commit."""
    data = bytearray(path.read_bytes())
    end = len(data.rstrip(b"\0")) + 1  # a frame may end in a zero, and here none does
    data[end : end + 9] = b"\x40\0\0\0torn!"
    path.write_bytes(data)


def write_ak(path: Path, tpmt: bytes) -> None:
    """The key file as the TPM's side writes it; ``tpmt`` is the public area."""
    public = base64.b64encode(struct.pack(">H", len(tpmt)) + tpmt).decode()
    path.write_text(json.dumps({"format": "swt3-agent/ak/1", "public": public, "private": "AA=="}))
    path.chmod(0o600)


def other_key(tpmt: bytes) -> bytes:
    """Another key's public area: the last byte of its point differs."""
    return tpmt[:-1] + bytes([tpmt[-1] ^ 1])


def lose_a_record(path: Path) -> None:
    rewrite(path, at(2, lambda _: None))


def lose_the_end(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(len(path.read_bytes().rstrip(b"\0")) - 10)
        file.truncate(size)


def forge_payload(path: Path) -> None:
    rewrite(path, at(2, lambda record: replace(record, payload=b"forged")))


def forge_provenance(path: Path) -> None:
    rewrite(path, at(2, lambda record: replace(record, provenance=b'{"listener": "agent"}')))


def forge_marks(path: Path) -> None:
    rewrite(path, at(2, lambda record: replace(record, flags=record.flags ^ FLAG_COMMIT_START)))


def note_seqs(path: Path) -> list[int]:
    records = (record for record, _, _ in iter_frames(path.read_bytes()))
    return [r.seq for r in records if r.kind is Kind.CHECKPOINT and b'"note"' in r.provenance]


def forge_note(change: Callable[[Record], bytes]) -> Callable[[Path], None]:
    def forge(path: Path) -> None:
        seq = note_seqs(path)[1]
        rewrite(path, at(seq, lambda record: replace(record, payload=change(record))))

    return forge


def with_note(record: Record, **changes: object) -> bytes:
    note = replace(parse_note(record), **changes)  # type: ignore[arg-type]  # names its fields
    return canonical_json({"body": note.body().decode()})


def forge_quote(**changes: object) -> Callable[[Path], None]:
    def forge(path: Path) -> None:
        seq = note_seqs(path)[1] + 1
        rewrite(path, at(seq, lambda record: edit_json(record, **changes)))

    return forge


def swap_quotes(path: Path) -> None:
    """The second note gets the quote of the first."""
    first, second = note_seqs(path)[:2]
    records = {r.seq: r for r, _, _ in iter_frames(path.read_bytes())}
    stolen = json.loads(records[first + 1].payload) | {"of": second}
    forged = canonical_json(stolen)
    rewrite(path, at(second + 1, lambda record: replace(record, payload=forged)))


NOTHING = bytes(32).hex()

SMALL_DAMAGE: list[tuple[str, Damage, set[str]]] = [
    (f"journal/{RAW}", damage_frame, {"FRAME_DAMAGED"}),
    (f"journal/{RAW}", damage_last_commit, {"TORN_TAIL", "JOURNAL_SHORTER"}),
    (f"journal/{RAW}", lose_the_end, {"TORN_TAIL", "JOURNAL_SHORTER"}),
    (f"journal/{RAW}", lambda path: os.truncate(path, 3000), {"TORN_TAIL", "JOURNAL_SHORTER"}),
    (f"journal/{RAW}", Path.unlink, {"SEGMENT_KEY_UNUSED", "JOURNAL_SHORTER"}),
    (f"journal/{RAW}", leave_half_a_commit, {"TORN_TAIL"}),
    ("journal.high-water", lambda path: path.write_bytes(b"x"), {"HIGH_WATER_UNREADABLE"}),
    ("journal.high-water", Path.unlink, set()),
    ("keys", lambda path: path.chmod(0o777), {"STATE_MODE"}),
    ("keys/segment-0000000000000000.key", lambda path: path.chmod(0o604), {"STATE_MODE"}),
    ("catalogue.db", lambda path: path.chmod(0o640), {"STATE_MODE"}),
    ("evidence", lambda path: (path / "0").touch(0o606), {"STATE_MODE"}),
    (
        "keys/segment-0000000000000000.key",
        lambda path: shutil.copy(path, path.with_name("segment-0000000000000001.key")),
        {"SEGMENT_KEY_UNUSED"},
    ),
    (
        "keys/segment-0000000000000000.key",
        lambda path: shutil.copy(path, path.with_name("segment-0000000000000002.key")),
        {"SEGMENT_MISSING"},
    ),
    ("keys/ak.json", Path.unlink, {"AK_MISSING"}),
    ("keys/ak.json", lambda path: path.write_bytes(b"garbage"), {"AK_DIFFERS"}),
    ("keys/ak.json", lambda path: path.write_bytes(b'{"public":"AAAA"}'), {"AK_DIFFERS"}),
    ("keys/ak.json", lambda path: write_ak(path, other_key(AK_TPMT)), {"AK_DIFFERS"}),
    (f"journal/{RAW}", lose_a_record, {"SEQ_GAP"}),
    (f"journal/{RAW}", forge_payload, {"NOTE_ROOT"}),
    (f"journal/{RAW}", forge_provenance, {"NOTE_ROOT", "PROVENANCE_NOT_CANONICAL"}),
    (f"journal/{RAW}", forge_marks, {"COMMIT_MARKS"}),
    (
        f"journal/{RAW}",
        forge_note(lambda _: b"{}"),
        {"NOTE_UNREADABLE", "NOTE_ROOT", "NOTE_PREVIOUS", "QUOTE_NOTE", "LOG_PCR_REPLAY"},
    ),
    (
        f"journal/{RAW}",
        forge_note(lambda record: with_note(record, root=bytes(32))),
        {"NOTE_ROOT", "NOTE_PREVIOUS", "QUOTE_NOTE", "LOG_PCR_REPLAY"},
    ),
    (
        f"journal/{RAW}",
        forge_note(lambda record: with_note(record, size=record.seq + 1)),
        {"NOTE_SIZE", "NOTE_ROOT", "NOTE_PREVIOUS", "QUOTE_NOTE", "LOG_PCR_REPLAY"},
    ),
    (
        f"journal/{RAW}",
        forge_note(lambda record: with_note(record, log_id="0" * 16)),
        {"NOTE_ORIGIN", "NOTE_ROOT", "NOTE_PREVIOUS", "QUOTE_NOTE", "LOG_PCR_REPLAY"},
    ),
    (f"journal/{RAW}", swap_quotes, {"QUOTE_NOTE", "NOTE_ROOT", "LOG_PCR_REPLAY"}),
    (
        f"journal/{RAW}",
        forge_quote(pcrs={"13": NOTHING}),
        {"QUOTE_NOT_EXTENDED", "NOTE_ROOT"},
    ),
    (
        f"journal/{RAW}",
        forge_quote(before=NOTHING),
        {"QUOTE_NOT_EXTENDED", "LOG_PCR_REPLAY", "NOTE_ROOT"},
    ),
    (f"journal/{RAW}", forge_quote(note=5), {"QUOTE_UNREADABLE", "LOG_PCR_REPLAY", "NOTE_ROOT"}),
    ("VERSION", lambda path: path.write_text("2\n"), {"STATE_VERSION"}),
    ("keys/segment-0000000000000000.key", Path.unlink, {"SEGMENT_KEY_MISSING"}),
    (
        "keys/segment-0000000000000000.key",
        lambda path: path.write_bytes(b"short"),
        {"SEGMENT_KEY_DAMAGED"},
    ),
    (
        "keys/segment-0000000000000000.key",
        lambda path: path.write_bytes(key_file(0, bytes(32))),
        {"NOTE_ROOT"},
    ),
]


@pytest.mark.parametrize(
    ("file", "damage", "expected"),
    SMALL_DAMAGE,
    ids=[f"{n}-{'-'.join(sorted(e))}" for n, (_, _, e) in enumerate(SMALL_DAMAGE)],
)
def test_damage_is_named(state: Path, file: str, damage: Damage, expected: set[str]) -> None:
    damage(state / file)
    assert codes(check(state)) == expected


@pytest.mark.parametrize(
    ("damage", "expected"),
    [(Path.unlink, "EVIDENCE_MISSING"), (lambda path: flip(path, 0), "EVIDENCE_CHANGED")],
)
def test_lost_and_changed_evidence_is_named(state: Path, damage: Damage, expected: str) -> None:
    """Raw evidence, and what it was read from."""
    for count, evidence in enumerate((state / "evidence").iterdir(), 1):
        damage(evidence)
        assert [found.code for found in check(state)] == [expected] * count
    assert count == 2


def test_reading_goes_on_after_damage(state: Path) -> None:
    """Damage near the start does not hide damage near the end."""
    damage_frame(state / "journal" / RAW)
    for evidence in (state / "evidence").iterdir():
        evidence.unlink()
    path = state / "journal" / RAW
    data = bytearray(path.read_bytes())
    where = data.rindex(b"the last")
    data[where] ^= 1
    path.write_bytes(data)
    findings = check(state)
    damaged = [found.where for found in findings if found.code == "FRAME_DAMAGED"]
    assert len(damaged) == 2
    assert "byte" in damaged[0]


def change_catalogue(path: Path, script: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


LARGE_DAMAGE: list[tuple[str, Damage, set[str]]] = [
    (f"journal/{SEALED}", lambda path: flip(path, 100), {"SEALED_DAMAGED"}),
    (f"journal/{SEALED}", lambda path: flip(path, path.stat().st_size - 1), {"SEALED_DAMAGED"}),
    (
        f"journal/{SEALED}",
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        {"SEALED_DAMAGED"},
    ),
    (f"journal/{SEALED}", Path.unlink, {"SEGMENT_MISSING"}),
    (
        f"journal/{SEALED}",
        lambda path: path.rename(path.with_name("0000000000000002.seg.zst")),
        {"SEGMENT_MISSING", "SEGMENT_SHORT", "SEALED_DAMAGED"},
    ),
    (
        "journal/0000000000000001.seg",
        lambda path: path.rename(path.with_name("0000000000000002.seg")),
        {"SEGMENT_MISSING", "WRONG_SEGMENT", "JOURNAL_SHORTER"},
    ),
    ("keys/segment-0000000000000000.key", lambda path: flip(path, 0), {"SEGMENT_KEY_DAMAGED"}),
    (
        "keys/segment-0000000000000000.key",
        lambda path: path.write_bytes(key_file(0, bytes(32))),
        {"SEALED_ROOT"},
    ),
    ("catalogue.db", lambda path: path.write_bytes(b"x" * 5000), {"CATALOGUE_UNREADABLE"}),
    ("catalogue.db", Path.unlink, set()),
    (
        "catalogue.db",
        lambda path: change_catalogue(
            path, "UPDATE meta SET last_root = x'00'; DELETE FROM fingerprints"
        ),
        {"CATALOGUE_OTHER_LOG"},
    ),
    (
        "catalogue.db",
        lambda path: change_catalogue(path, "UPDATE meta SET segments = 2"),
        {"JOURNAL_SHORTER"},
    ),
    (
        "journal/0000000000000001.seg",
        Path.unlink,
        {"SEGMENT_KEY_UNUSED", "JOURNAL_SHORTER"},
    ),
]


@pytest.mark.parametrize(
    ("file", "damage", "expected"),
    LARGE_DAMAGE,
    ids=[f"{n}-{'-'.join(sorted(e))}" for n, (_, _, e) in enumerate(LARGE_DAMAGE)],
)
def test_damage_to_sealed_segments_and_what_goes_with_them_is_named(
    large_state: Path, file: str, damage: Damage, expected: set[str]
) -> None:
    damage(large_state / file)
    assert codes(check(large_state)) == expected


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE fingerprints SET entries = zeroblob(8) WHERE id = 0",
        "DELETE FROM fingerprints WHERE id = 0",
        "UPDATE batches SET first = first + 1 WHERE batch = 7",
        "DELETE FROM batches WHERE batch = 7",
        "UPDATE verdicts SET count = count - 1",
        "UPDATE verdicts SET last = last - 1",
        "UPDATE kinds SET count = count + 1",
        "UPDATE kinds SET last = last + 1",
        "INSERT INTO rare VALUES (4, '', 0, x'0000')",
    ],
)
def test_a_catalogue_that_disagrees_with_the_records_is_named(
    large_state: Path, change: str
) -> None:
    change_catalogue(large_state / "catalogue.db", change)
    assert codes(check(large_state)) == {"CATALOGUE_DIFFERS"}


def test_records_without_meaning_are_still_records(state: Path) -> None:
    """What the store does not understand is not damage: kinds it only carries, odd payloads."""
    with Journal.open(state / "journal", state / "keys") as journal:
        odd = [Draft(kind, b"{}", b"\xff\0") for kind in Kind if kind is not Kind.CHECKPOINT]
        journal.append([*odd, *drafts(2)]).result()
    assert check(state) == []


def test_a_file_that_fails_under_the_check_is_named(state: Path) -> None:
    path = state / "journal" / RAW
    path.unlink()
    path.mkdir()  # opens like a file, and fails every read
    assert codes(check(state)) == {"SEGMENT_UNREADABLE"}


def test_a_quote_that_comes_after_the_next_boot_record_is_sound(tmp_path: Path) -> None:
    """The TPM failed after the extend, and once more when the next start took up the chain."""
    root = tmp_path / "state"
    StateDirectory.open(root).close()
    node, tpm = Node(root), FakeTpm()
    agent = node.start(tpm)
    make(agent)
    tpm.fail_after = True
    with pytest.raises(TpmError):
        make(agent)
    value = {"index": LOG_PCR, "value": tpm.log_pcr.hex()}
    boot = canonical_json({"boot_id": "boot-1", "log_pcr": value})
    agent.journal.append([Draft(Kind.BOOT, b'{"listener":"agent"}', boot)]).result()
    make(agent)
    node.stop()
    assert check(root) == []
