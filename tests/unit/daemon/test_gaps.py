"""Gap records: what was refused, once each, and nothing where nothing was."""

import json
from pathlib import Path

import pytest

from swt3_agent.daemon.gaps import GapRecorder
from swt3_agent.errors import FormatError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.gaps import Gap, GapSums, parse_gap
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.answers import Code
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.store.journal import Journal
from swt3_agent.store.state import StateDirectory


def gaps_in(journal: Journal) -> list[Gap]:
    records = list(journal.scan(0))
    assert {record.kind for record in records} <= {Kind.GAP}
    return [parse_gap(record.payload) for record in records]


def test_every_refusal_is_recorded_once(tmp_path: Path) -> None:
    StateDirectory.open(tmp_path).close()
    counters, other = IntakeCounters(), IntakeCounters()
    with Journal.open(tmp_path / "journal", tmp_path / "keys") as journal:
        recorder = GapRecorder(journal, {"intake": counters, "http": other})
        recorder.record()
        assert gaps_in(journal) == []
        counters.rejected[Code.BUSY] += 3
        recorder.record()
        recorder.record()
        counters.rejected[Code.BUSY] += 1
        counters.evicted += 2
        recorder.record()
        first, second = gaps_in(journal)
        assert (first.listener, first.refused, first.dropped) == ("intake", {"BUSY": 3}, 0)
        assert (second.refused, second.dropped, second.evicted) == ({"BUSY": 1}, 0, 2)
        assert first.from_ms <= first.to_ms == second.from_ms <= second.to_ms


def test_what_cannot_be_stored_is_counted_with_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    StateDirectory.open(tmp_path).close()
    counters = IntakeCounters()
    with Journal.open(tmp_path / "journal", tmp_path / "keys") as journal:
        recorder = GapRecorder(journal, {"intake": counters})
        counters.rejected[Code.DISK_FULL] += 1
    recorder.record()
    assert "no gap record code=JOURNAL_CLOSED" in caplog.text


def test_sums_are_kept_by_listener() -> None:
    sums = GapSums()
    for listener, count in (("a", 1), ("b", 2), ("a", 4)):
        sums.add(Gap(listener, 0, 1, {"BUSY": count}, count, 0).payload())
    assert {name: (s.refused["BUSY"], s.gaps) for name, s in sums.by_listener.items()} == {
        "a": (5, 2),
        "b": (2, 1),
    }


def test_a_gap_is_canonical_json_and_is_read_as_it_was_written() -> None:
    gap = Gap("intake", 1, 2, {"BUSY": 3, "BAD_FIELD": 1}, 4, 5)
    assert parse_gap(gap.payload()) == gap
    assert gap.payload() == canonical_json(json.loads(gap.payload()))


def test_another_payload_is_no_gap() -> None:
    with pytest.raises(FormatError) as refused:
        parse_gap(b'{"listener":1}')
    assert refused.value.code == "GAP_RECORD"
