import json
import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swt3_agent.errors import JournalError
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import BatchRow, Catalogue, HeadEntry, KindCount, Rejection
from swt3_agent.store.catalogue_file import CatalogueFile, delete
from swt3_agent.store.fresh_batches import FreshBatches
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.store.segment_file import SEGMENT_RECORDS
from tests.unit.store.conftest import OpenJournal
from tests.unit.store.records import draft

CLIENT = "0f8fad5b-d9cb-469f-a165-70867728950e"
TENANT = "LOCAL"


def anchor(fingerprint: str, procedure: str = "AI-INF.1", **provenance: object) -> Draft:
    payload = {"procedure_id": procedure, "anchor_fingerprint": fingerprint, "factor_a": 1}
    kind = Kind.MINTED if "verdict" in provenance else Kind.RELAYED
    return draft(json.dumps(payload), kind, **{"tenant": TENANT, **provenance})


def batch(number: int, count: int, client: str = CLIENT, first: int = 0) -> list[Draft]:
    return [anchor(f"{first + n:012x}", client=client, batch=number) for n in range(count)]


def rejected(number: int, index: int) -> Draft:
    return draft(
        "nonsense",
        Kind.QUARANTINE,
        tenant=TENANT,
        client=CLIENT,
        batch=number,
        index=index,
        code="BAD_FIELD",
        error="factor_a is no number",
    )


def put(journal: Journal, *drafts: Draft) -> int:
    return journal.append(drafts).result().first_seq


def head(size: int) -> str:
    root = "A" * 43 + "="
    origin = f"swt3-agent/{'a' * 32}/{'b' * 16}"
    return json.dumps({"body": f"{origin}\n{size}\n{root}\nt=1 boot=x prev={root} ctr=0\n"})


def test_an_anchor_is_found_by_its_fingerprint_and_so_are_all_that_share_it(
    open_journal: OpenJournal,
) -> None:
    journal = open_journal()
    with Catalogue.open(None, journal) as catalogue:
        put(journal, anchor("c059eb5938c0"), anchor("000000000000"), anchor("c059eb5938c0"))
        put(journal, anchor("c059eb5938c0", verdict="PASS"))
        assert catalogue.find_fingerprint("c059eb5938c0") == [0, 2, 3]
        assert catalogue.find_fingerprint("000000000000") == [1]
        assert catalogue.find_fingerprint("c059eb5938c1") == []


@pytest.mark.parametrize(
    "payload",
    [
        '{"anchor_fingerprint":"c059eb5938c0","procedure_id":"A"}',
        '{"anchor_fingerprint" :\n"c059eb5938c0"}',
        r'{"anchor\u005ffingerprint":"c059eb5938c0"}',
        r'{"ai_context":{"anchor_fingerprint":"000000000000"},"anchor_fingerprint":"c059eb5938c0"}',
        r'{"anchor_fingerprint":"c059eb5938c0","x":"\"anchor_fingerprint\":\"000000000000\""}',
    ],
)
def test_the_fingerprint_is_read_as_json_means_it(open_journal: OpenJournal, payload: str) -> None:
    journal = open_journal()
    with Catalogue.open(None, journal) as catalogue:
        put(journal, draft(payload))
        assert catalogue.find_fingerprint("c059eb5938c0") == [0]
        assert catalogue.find_fingerprint("000000000000") == []


@pytest.mark.parametrize("payload", ["", "\0", "[]", "{}", '{"anchor_fingerprint":5}', '{"a'])
def test_records_that_are_no_anchors_disturb_nothing(
    open_journal: OpenJournal, payload: str
) -> None:
    journal = open_journal()
    with Catalogue.open(None, journal) as catalogue:
        put(journal, draft(payload), Draft(Kind.RELAYED, b"not json", payload.encode()))
        put(journal, draft(payload, Kind.CHECKPOINT, phase="note"), anchor("c059eb5938c0"))
        assert catalogue.find_fingerprint("c059eb5938c0") == [3]
        assert catalogue.heads() == []


def test_a_batch_is_known_the_moment_it_is_durable(open_journal: OpenJournal) -> None:
    journal = open_journal()
    with Catalogue.open(None, journal) as catalogue:
        for number in range(20):
            first = put(journal, *batch(number, 5))
            row = catalogue.find_batch(TENANT, CLIENT, number)
            assert row == BatchRow(CLIENT, number, first, 5, 5, ())
            assert catalogue.last_batch(TENANT, CLIENT) == number
        assert catalogue.find_batch(TENANT, CLIENT, 20) is None
        assert catalogue.find_batch(TENANT, "another", 3) is None
        assert catalogue.last_batch(TENANT, "another") is None
        assert catalogue.find_batch(TENANT, CLIENT, 2**80) is None


def test_clients_of_one_name_but_two_tenants_have_batches_of_their_own(
    journal_dir: Path, open_journal: OpenJournal
) -> None:
    journal = open_journal()
    path = journal_dir / "catalogue.db"
    with Catalogue.open(path, journal) as catalogue:
        put(journal, *batch(7, 2))
        assert catalogue.find_batch("OTHER", CLIENT, 7) is None
        assert catalogue.last_batch("OTHER", CLIENT) is None
        put(journal, anchor("aaaaaaaaaaaa", tenant="OTHER", client=CLIENT, batch=7))
        catalogue.catch_up()
        theirs = catalogue.find_batch("OTHER", CLIENT, 7)
        assert theirs == BatchRow(CLIENT, 7, 2, 1, 1, ())


def test_a_batch_is_known_after_a_restart_with_what_was_refused_of_it(
    journal_dir: Path, open_journal: OpenJournal
) -> None:
    journal = open_journal()
    path = journal_dir / "catalogue.db"
    expected = BatchRow(
        CLIENT,
        7,
        1,
        4,
        2,
        (
            Rejection(1, "BAD_FIELD", "factor_a is no number", 2),
            Rejection(3, "BAD_FIELD", "factor_a is no number", 4),
        ),
    )
    with Catalogue.open(path, journal) as catalogue:
        put(journal, anchor("aaaaaaaaaaaa"))
        one, two = batch(7, 2)
        put(journal, one, rejected(7, 1), two, rejected(7, 3))
        put(journal, *batch(8, 1))
        assert catalogue.find_batch(TENANT, CLIENT, 7) == expected
        catalogue.catch_up()
        assert catalogue.find_batch(TENANT, CLIENT, 7) == expected
    journal.close()
    with Catalogue.open(path, open_journal()) as catalogue:
        assert catalogue.find_batch(TENANT, CLIENT, 7) == expected
        assert catalogue.last_batch(TENANT, CLIENT) == 8


def test_heads_pair_notes_with_their_quotes(open_journal: OpenJournal) -> None:
    journal = open_journal()
    with Catalogue.open(None, journal) as catalogue:
        put(journal, anchor("aaaaaaaaaaaa"))
        put(journal, draft(head(1), Kind.CHECKPOINT, phase="note"))
        put(journal, draft(json.dumps({"note": "", "of": 1}), Kind.CHECKPOINT, phase="quote"))
        put(journal, draft(head(3), Kind.CHECKPOINT, phase="note"))
        assert catalogue.heads() == [HeadEntry(1, 1, 2), HeadEntry(3, 3, None)]
        assert catalogue.heads(1) == [HeadEntry(3, 3, None)]


def test_records_are_counted_by_kind_and_by_verdict(open_journal: OpenJournal) -> None:
    journal = open_journal()
    with Catalogue.open(None, journal) as catalogue:
        put(journal, anchor("aaaaaaaaaaaa"), anchor("aaaaaaaaaaab"), rejected(1, 0))
        put(journal, anchor("aaaaaaaaaaac", "AI-HW.1", verdict="FAIL"))
        assert catalogue.kinds() == {
            Kind.RELAYED: KindCount(2, 1),
            Kind.QUARANTINE: KindCount(1, 2),
            Kind.MINTED: KindCount(1, 3),
        }
        assert catalogue.verdicts() == {("AI-INF.1", ""): 2, ("AI-HW.1", "FAIL"): 1}
        assert catalogue.last_of_kind(Kind.MINTED) == 3
        assert catalogue.last_of_kind(Kind.BOOT) is None


def test_procedures_are_counted_over_minted_and_relayed_with_the_last_of_each(
    open_journal: OpenJournal,
) -> None:
    journal = open_journal()
    with Catalogue.open(None, journal) as catalogue:
        assert catalogue.procedures() == {}
        put(journal, anchor("aaaaaaaaaaaa"), anchor("aaaaaaaaaaab"), rejected(1, 0))
        put(journal, anchor("aaaaaaaaaaac", "AI-HW.1", verdict="FAIL"))
        put(journal, anchor("aaaaaaaaaaad", verdict="PASS"), anchor("aaaaaaaaaaae", "AI-MDL.2"))
        put(journal, anchor("aaaaaaaaaaaf", "AI-HW.1", verdict="PASS"))
        assert catalogue.procedures() == {
            "AI-INF.1": (3, 4),
            "AI-HW.1": (2, 6),
            "AI-MDL.2": (1, 5),
        }


def test_evidence_is_listed_by_the_collector_that_brought_it(open_journal: OpenJournal) -> None:
    journal = open_journal()
    with Catalogue.open(None, journal) as catalogue:
        for payload in ('{"collector":"gpu"}', '{"collector":"host"}', "[]", '{"collector":"gpu"}'):
            put(journal, draft(payload, Kind.EVIDENCE))
        assert catalogue.records_of(Kind.EVIDENCE) == [0, 1, 2, 3]
        assert catalogue.records_of(Kind.EVIDENCE, collector="gpu") == [0, 3]
        assert catalogue.records_of(Kind.EVIDENCE, 1, collector="gpu") == [3]
        assert catalogue.records_of(Kind.EVIDENCE, collector="weights") == []


def test_records_of_the_rare_kinds_are_listed(open_journal: OpenJournal) -> None:
    journal = open_journal()
    with Catalogue.open(None, journal) as catalogue:
        put(journal, anchor("aaaaaaaaaaaa"), draft("{}", Kind.EVIDENCE), rejected(1, 0))
        put(journal, draft("{}", Kind.EVIDENCE), draft("{}", Kind.BOOT), draft("{}", Kind.EVIDENCE))
        assert catalogue.records_of(Kind.EVIDENCE) == [1, 3, 5]
        assert catalogue.records_of(Kind.EVIDENCE, 2, 5) == [3]
        assert catalogue.records_of(Kind.EVIDENCE, 3) == [3, 5]
        assert catalogue.records_of(Kind.QUARANTINE) == [2]
        assert catalogue.records_of(Kind.BOOT, 0, 0) == []
        assert catalogue.records_of(Kind.RECEIPT) == []
        for kind in (Kind.RELAYED, Kind.OPAQUE):
            with pytest.raises(ValueError, match=kind.label):
                catalogue.records_of(kind)


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of more than one segment: batches of 500, one of them across the boundary."""
    root = tmp_path_factory.mktemp("long")
    (root / "journal").mkdir()
    (root / "keys").mkdir()
    with Journal.open(root / "journal", root / "keys") as journal:
        put(journal, draft(head(0), Kind.CHECKPOINT, phase="note"))
        number = 0
        while journal.size < SEGMENT_RECORDS + 2000:
            put(journal, *batch(number, 500, first=number * 500))
            number += 1
        put(journal, draft(json.dumps({"note": "", "of": 0}), Kind.CHECKPOINT, phase="quote"))
        put(journal, *batch(3, 7, first=0))  # what an intake never does
    return root


def answers(catalogue: Catalogue) -> list[object]:
    crossing = (SEGMENT_RECORDS - 1) // 500
    return [
        *(catalogue.find_fingerprint(f"{n:012x}") for n in (0, 3, 65_534, 65_535, 66_000, 10**9)),
        *(
            catalogue.find_batch(TENANT, CLIENT, number)
            for number in (0, 3, crossing, crossing + 1, 10**6)
        ),
        catalogue.last_batch(TENANT, CLIENT),
        catalogue.heads(),
        catalogue.kinds(),
        catalogue.verdicts(),
        catalogue.procedures(),
        catalogue.records_of(Kind.CHECKPOINT),
        catalogue.records_of(Kind.CHECKPOINT, 1),
        catalogue.records_of(Kind.CHECKPOINT, 0, SEGMENT_RECORDS),
    ]


def test_what_is_in_the_file_answers_like_what_is_in_memory(long_log: Path, tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    with Journal.open(long_log / "journal", long_log / "keys", readonly=True) as journal:
        with Catalogue.open(path, journal) as catalogue:
            first = answers(catalogue)
            assert catalogue._full == []
        fingerprints, batches = first[:6], first[6:11]
        assert first[-3:] == [[0, journal.size - 8], [journal.size - 8], [0]]
        assert fingerprints[:2] == [[1, journal.size - 7], [4, journal.size - 4]]
        assert fingerprints[2:] == [[65_535], [65_536], [66_001], []]
        crossing = (SEGMENT_RECORDS - 1) // 500
        assert batches[1] == BatchRow(CLIENT, 3, 1501, 500, 500, ())
        assert batches[2] == BatchRow(CLIENT, crossing, crossing * 500 + 1, 500, 500, ())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with Catalogue.open(path, journal) as catalogue:  # as the next start finds it
            assert answers(catalogue) == first


@pytest.mark.parametrize("damage", ["deleted", "garbage", "other version", "other log", "cut"])
def test_a_catalogue_that_is_no_use_is_filled_anew(
    long_log: Path, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "catalogue.db"
    with Journal.open(long_log / "journal", long_log / "keys", readonly=True) as journal:
        with Catalogue.open(path, journal) as catalogue:
            expected = answers(catalogue)
        match damage:
            case "deleted":
                path.unlink()
            case "garbage":
                path.write_bytes(b"not a database at all" * 1000)
            case "cut":
                path.write_bytes(path.read_bytes()[:1000])
            case "other version" | "other log":
                connection = sqlite3.connect(path)
                if damage == "other version":
                    connection.execute("UPDATE meta SET version = 99")
                else:
                    connection.execute("UPDATE meta SET last_root = x'00'")
                connection.execute("DELETE FROM fingerprints")
                connection.commit()
                connection.close()
        with Catalogue.open(path, journal) as catalogue:
            assert answers(catalogue) == expected


def test_a_catalogue_of_more_than_the_journal_has_is_refused(
    long_log: Path, tmp_path: Path, open_journal: OpenJournal
) -> None:
    path = tmp_path / "catalogue.db"
    with Journal.open(long_log / "journal", long_log / "keys", readonly=True) as journal:
        Catalogue.open(path, journal).close()
    journal = open_journal()
    put(journal, anchor("c059eb5938c0"))
    with pytest.raises(JournalError) as refused:
        Catalogue.open(path, journal)
    assert refused.value.code == "JOURNAL_SHORTER"
    delete(path)
    with Catalogue.open(path, journal) as catalogue:
        assert catalogue.find_fingerprint("c059eb5938c0") == [0]
        assert catalogue.find_fingerprint(f"{7:012x}") == []


def test_a_segment_that_cannot_be_written_stays_in_memory_and_goes_later(
    long_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "catalogue.db"

    def full_disk(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with Journal.open(long_log / "journal", long_log / "keys", readonly=True) as journal:
        with monkeypatch.context() as patched:
            patched.setattr(CatalogueFile, "write", full_disk)
            catalogue = Catalogue.open(path, journal)
            unwritten = answers(catalogue)
        with catalogue:
            catalogue._flush()
            assert catalogue._full == []
            assert answers(catalogue) == unwritten


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=1, max_size=12))
def test_catching_up_at_any_moment_gives_what_one_look_at_the_end_gives(
    tmp_path_factory: pytest.TempPathFactory, plan: list[list[int]]
) -> None:
    root = tmp_path_factory.mktemp("log")
    (root / "journal").mkdir()
    (root / "keys").mkdir()
    with (
        Journal.open(root / "journal", root / "keys") as journal,
        Catalogue.open(root / "catalogue.db", journal) as catalogue,
    ):
        for number, step in enumerate(plan):
            put(journal, *(anchor(f"{value:012x}", client=CLIENT, batch=number) for value in step))
            if sum(step) % 2:
                catalogue.catch_up()
            row = catalogue.find_batch(TENANT, CLIENT, number)
            assert row is not None
            assert row.total == len(step)
        flat = [value for step in plan for value in step]
        for value in range(4):
            expected = [seq for seq, other in enumerate(flat) if other == value]
            assert catalogue.find_fingerprint(f"{value:012x}") == expected


def test_a_client_is_forgotten_once_its_batches_are_indexed() -> None:
    fresh = FreshBatches()
    for seq, client in enumerate("ab"):
        fresh.note(seq, [[draft("{}", client=client, batch=5 + seq)]])
    assert (fresh.last(":a", 0), fresh.last(":b", 0)) == (5, 6)
    assert (fresh.last(":a", 1), fresh.last(":b", 1)) == (None, 6)
    assert fresh.find((":a", 5), 1) is None
