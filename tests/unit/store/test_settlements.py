"""Receipts as records: how far delivery has come, what waits, what was refused."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import JournalError
from swt3_agent.protocol.record import MAX_BODY, Kind
from swt3_agent.store import receipt_records
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Journal
from swt3_agent.store.settlements import (
    Counts,
    Receipt,
    Settlement,
    Settlements,
    Withheld,
    forwardable_in,
)
from tests.unit.store.records import draft

TOKEN = "SWT3-E-VULTR-AI-AIINF1-PASS-1774800000-c059eb5938c0"


@contextmanager
def opened(root: Path) -> Iterator[tuple[Journal, Settlements]]:
    for name in ("journal", "keys"):
        (root / name).mkdir(exist_ok=True)
    with (
        Journal.open(root / "journal", root / "keys") as journal,
        Catalogue.open(None, journal) as catalogue,
    ):
        yield journal, Settlements(journal, catalogue)


def fill(journal: Journal, kinds: Sequence[Kind]) -> None:
    journal.append([draft(f"record {n}", kind) for n, kind in enumerate(kinds)]).result()


def settlement(
    journal: Journal, first: int, end: int, refused: Sequence[int] = (), **changes: object
) -> Settlement:
    """One that answers to every record of the range."""
    seqs = list(forwardable_in(journal, first, end))
    receipts = tuple(
        Receipt(seq, ok=False, error="bad signature")
        if seq in refused
        else Receipt(seq, token=TOKEN, verdict="PASS")
        for seq in seqs
    )
    said = {"by": "ledger", "source": "ledger.example", "total": len(seqs), "receipts": receipts}
    return Settlement(**{**said, "first": first, "end": end, **changes})  # type: ignore[arg-type]  # a test spells out what it means


MIXED = [Kind.BOOT, Kind.MINTED, Kind.RELAYED, Kind.EVIDENCE, Kind.RELAYED, Kind.QUARANTINE]


def test_nothing_is_settled_at_first(tmp_path: Path) -> None:
    with opened(tmp_path) as (journal, settlements):
        assert settlements.cursor == 0
        assert settlements.backlog().records == 0
        assert settlements.backlog().oldest_ms is None
        fill(journal, MIXED)
        backlog = settlements.backlog()
        assert backlog.records == 3
        assert backlog.oldest_ms == journal.read(1).received_ns // 1_000_000


def test_what_was_settled_is_known_after_a_restart_from_the_records_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as (journal, settlements):
        fill(journal, MIXED)
        seq = settlements.append(settlement(journal, 0, 3, refused=[2]))
        assert journal.read(seq).kind is Kind.RECEIPT
        assert seq == len(MIXED)
    with opened(tmp_path) as (journal, settlements):
        assert settlements.cursor == 3
        assert settlements.counts == Counts(settled=2, refused=1)
        assert settlements.backlog().records == 1
        assert settlements.backlog().oldest_ms == journal.read(4).received_ns // 1_000_000
        [refusal] = settlements.refused(10)
        assert (refusal.receipt.seq, refusal.receipt.error) == (2, "bad signature")
        assert (refusal.by, refusal.source, refusal.record) == ("ledger", "ledger.example", seq)


def test_a_record_says_what_was_answered(tmp_path: Path) -> None:
    with opened(tmp_path) as (journal, settlements):
        fill(journal, MIXED)
        receipts = (
            Receipt(1, token=TOKEN, verdict="FAIL", signature_verified=True, differs="PASS"),
            Receipt(2, ok=False, error="no"),
        )
        held = (Withheld(3, 6, "LEVEL_RAISED"),)
        said = settlement(journal, 0, 6, receipts=receipts, withheld=held, signer="key-1")
        record = journal.read(settlements.append(said))
        assert json.loads(record.payload) == {
            "by": "ledger",
            "source": "ledger.example",
            "signer": "key-1",
            "first": 0,
            "end": 6,
            "cursor": 6,
            "counts": {"settled": 3, "refused": 1, "withheld": 1, "differing": 1},
            "receipts": [
                {
                    "seq": 1,
                    "token": TOKEN,
                    "verdict": "FAIL",
                    "signature_verified": True,
                    "differs": "PASS",
                },
                {"seq": 2, "ok": False, "error": "no"},
            ],
            "withheld": [{"first": 3, "end": 6, "reason": "LEVEL_RAISED"}],
        }


def test_a_refused_record_can_be_settled_again_and_an_accepted_one_cannot(tmp_path: Path) -> None:
    with opened(tmp_path) as (journal, settlements):
        fill(journal, [Kind.RELAYED] * 6)
        settlements.append(settlement(journal, 0, 4, refused=[1, 3]))
        settlements.append(settlement(journal, 4, 6))
        assert [found.receipt.seq for found in settlements.refused(10)] == [3, 1]
        answers = (Receipt(0, ok=False, error="late"), Receipt(1), Receipt(3, ok=False, error="2"))
        settlements.append(settlement(journal, 0, 4, receipts=answers))
        assert settlements.counts == Counts(settled=6, refused=1)
        assert settlements.cursor == 6
        [refusal] = settlements.refused(10)
        assert (refusal.receipt.seq, refusal.receipt.error) == (3, "2")
        settlements.append(settlement(journal, 3, 4, receipts=(Receipt(3),)))
        assert settlements.counts == Counts(settled=6, refused=0)
        assert settlements.refused(10) == []


def test_the_newest_refusals_come_first_and_no_more_than_asked(tmp_path: Path) -> None:
    with opened(tmp_path) as (journal, settlements):
        fill(journal, [Kind.RELAYED] * 6)
        for first in range(0, 6, 2):
            settlements.append(settlement(journal, first, first + 2, refused=[first, first + 1]))
        assert [found.receipt.seq for found in settlements.refused(3)] == [5, 4, 3]
        assert len(settlements.refused(100)) == 6
        settlements.append(settlement(journal, 1, 2))
        assert settlements.still_refused([0, 1, 2, 99]) == {0, 2}


def test_a_bundle_may_begin_before_the_cursor_but_leaves_no_hole(tmp_path: Path) -> None:
    with opened(tmp_path) as (journal, settlements):
        fill(journal, [Kind.RELAYED] * 8)
        settlements.append(settlement(journal, 0, 3))
        with pytest.raises(JournalError, match="not settled yet") as raised:
            settlements.append(settlement(journal, 4, 8))
        assert raised.value.code == "SETTLEMENT_GAP"
        seq = settlements.append(settlement(journal, 0, 6, by="bundle", source="00ff"))
        assert json.loads(journal.read(seq).payload)["first"] == 3
        assert settlements.cursor == 6
        assert settlements.backlog().records == 2


def test_a_bundle_that_was_settled_already_changes_nothing_but_is_recorded(tmp_path: Path) -> None:
    with opened(tmp_path) as (journal, settlements):
        fill(journal, [Kind.RELAYED] * 4)
        first = settlements.append(settlement(journal, 0, 4))
        second = settlements.append(settlement(journal, 0, 3, by="bundle"))
        assert second == first + 1
        assert (settlements.cursor, settlements.counts) == (4, Counts(settled=4))


def test_a_settlement_that_does_not_fit_the_log_is_refused_whole(tmp_path: Path) -> None:
    with opened(tmp_path) as (journal, settlements):
        fill(journal, MIXED)
        unfit = {
            "no receipt": settlement(journal, 0, 6, receipts=(Receipt(1), Receipt(4))),
            "record 4 has no receipt": settlement(
                journal, 0, 6, receipts=(Receipt(1),), withheld=(Withheld(2, 4, "A"),)
            ),
            "not one that is sent on": settlement(
                journal, 0, 6, receipts=tuple(Receipt(n) for n in (1, 2, 3, 4))
            ),
            "to settle, not": settlement(journal, 0, 6, total=2),
            "a log of 6": replace(settlement(journal, 0, 6), end=7),
            "not in order": settlement(journal, 0, 6, receipts=(Receipt(2), Receipt(1))),
            "ranges are not": settlement(
                journal, 0, 6, withheld=(Withheld(4, 5, "A"), Withheld(3, 4, "A"))
            ),
        }
        for message, said in unfit.items():
            with pytest.raises(JournalError, match=message):
                settlements.append(said)
        assert journal.size == 6
        assert settlements.cursor == 0


def test_texts_of_others_are_shortened(tmp_path: Path) -> None:
    with opened(tmp_path) as (journal, settlements):
        fill(journal, [Kind.RELAYED])
        long = (Receipt(0, ok=False, error="x" * 9999, token="t" * 9999, verdict="v" * 9999),)
        settlements.append(settlement(journal, 0, 1, receipts=long, source="s" * 9999))
        [refusal] = settlements.refused(1)
        assert len(refusal.receipt.error or "") == receipt_records.MAX_ERROR_CHARS
        assert len(journal.read(1).payload) < 2000


def test_the_longest_answers_to_a_full_batch_fit_into_a_record(tmp_path: Path) -> None:
    """Else a ledger could keep the agent from ever settling it."""
    with opened(tmp_path) as (journal, settlements):
        fill(journal, [Kind.RELAYED] * receipt_records.RECORDS_AT_ONCE)
        worst = "\x01" * 999
        receipts = tuple(
            Receipt(seq, ok=False, error=worst, token=worst, verdict=worst, differs="PASS")
            for seq in range(receipt_records.RECORDS_AT_ONCE)
        )
        seq = settlements.append(settlement(journal, 0, 1000, receipts=receipts, source=worst))
        assert len(journal.read(seq).payload) < MAX_BODY * 2 // 3
        assert settlements.cursor == 1000


def test_an_unreadable_receipt_record_stops_the_start(tmp_path: Path) -> None:
    with opened(tmp_path) as (journal, _):
        fill(journal, [Kind.RECEIPT])
    with pytest.raises(JournalError, match="record 0 cannot be read"), opened(tmp_path):
        pass


@given(st.data())
def test_pieces_settle_each_record_of_the_range_once(data: st.DataObject) -> None:
    """However a range is cut, its pieces join without a hole and keep every receipt and reason."""
    end = data.draw(st.integers(1, 60))
    cursor = data.draw(st.integers(0, end - 1))
    seqs = sorted(data.draw(st.sets(st.integers(cursor, end - 1))))
    held_from = data.draw(st.integers(cursor, end))
    receipts = tuple(Receipt(seq) for seq in seqs if seq < held_from)
    held = (Withheld(held_from, end, "R"),) if held_from < end else ()
    said = Settlement("ledger", cursor, end, len(seqs), receipts, held)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receipt_records, "RECORDS_AT_ONCE", data.draw(st.integers(1, 7)))
        pieces = list(receipt_records.pieces_onward(said, cursor, seqs))
    assert [piece.first for piece in pieces] == [cursor, *(piece.end for piece in pieces[:-1])]
    assert pieces[-1].end == end
    assert sum(piece.total or 0 for piece in pieces) == len(seqs)
    assert tuple(receipt for piece in pieces for receipt in piece.receipts) == receipts
    for piece in pieces:
        assert all(piece.first <= receipt.seq < piece.end for receipt in piece.receipts)
        withheld = {seq for seq in seqs for part in piece.withheld if part.first <= seq < part.end}
        assert len(piece.receipts) + len(withheld) == piece.total


def test_a_settlement_of_many_records_becomes_several(tmp_path: Path) -> None:
    with opened(tmp_path) as (journal, settlements):
        fill(journal, [Kind.RELAYED] * 2500)
        last = settlements.append(settlement(journal, 0, 2500, refused=range(2400, 2500)))
        assert last == 2502
        assert settlements.counts == Counts(settled=2500, refused=100)
    with opened(tmp_path) as (_, settlements):
        assert settlements.cursor == 2500
        assert len(settlements.refused(1000)) == 100
