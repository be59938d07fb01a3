"""History over a real journal; the readings are the test's own."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swt3_agent.cli.history import history_lines
from swt3_agent.daemon.history import Question, history
from swt3_agent.errors import UsageError
from swt3_agent.protocol.record import Kind
from swt3_agent.store import group_commit
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.store.state import StateDirectory

A, B = "a" * 64, "b" * 64
HOUR_MS = 3_600_000


class Log:
    """A log that one reading an hour goes into."""

    def __init__(self, root: Path) -> None:
        self.journal = Journal.open(root / "journal", root / "keys")
        self.catalogue = Catalogue.open(None, self.journal)
        self.evidence = EvidenceStore(root / "evidence")
        self.hour = 0

    def time_ns(self) -> int:
        return self.hour * HOUR_MS * 1_000_000

    def put(self, kind: Kind, provenance: Mapping[str, Any], payload: Mapping[str, Any]) -> int:
        draft = Draft(kind, json.dumps(provenance).encode(), json.dumps(payload).encode())
        return self.journal.append([draft]).result().first_seq

    def reading(self, collector: str, claims: Mapping[str, Any] | None, **lack: str) -> int:
        self.hour += 1
        digest = self.evidence.put(json.dumps({"claims": claims}).encode())
        return self.put(Kind.EVIDENCE, {}, {"collector": collector, "digest": digest, **lack})

    def weights(self, digest: str | None, name: str = "llama") -> int:
        return self.reading("weights", {"models": [{"name": name, "digest": digest}]})

    def gpus(self, *uuids: str, driver: str = "570.1") -> int:
        gpus = [{"uuid": uuid, "pci": "0000:01:00.0", "name": "H100"} for uuid in uuids]
        return self.reading("gpu", {"driver": driver, "gpus": gpus})

    def minted(self, procedure: str, verdict: str, evidence: int = 0, model: str = "") -> int:
        payload = {"procedure_id": procedure, "anchor_fingerprint": "0" * 12}
        if model:
            payload["ai_model_id"] = model
        reasons = [] if verdict == "PASS" else ["WEIGHTS_CHANGED"]
        provenance = {"verdict": verdict, "evidence": evidence, "reasons": reasons}
        return self.put(Kind.MINTED, provenance, payload)

    def ask(self, **question: Any) -> dict[str, Any]:
        return history(self.journal, self.catalogue, self.evidence, Question(**question))


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    StateDirectory.open(tmp_path / "state").close()
    log = Log(tmp_path / "state")
    monkeypatch.setattr(group_commit, "time", SimpleNamespace(time_ns=log.time_ns))
    yield log
    log.catalogue.close()
    log.journal.close()


def events(answer: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["kind"], one["subject"], one["event"]) for one in answer["events"]]


def test_a_changed_model_is_told_with_both_digests_the_time_and_the_record(log: Log) -> None:
    log.weights(A)
    log.weights(A)
    changed = log.weights(B)
    answer = log.ask(model="llama")
    assert events(answer) == [("model", "llama", "appeared"), ("model", "llama", "changed")]
    assert answer["events"][1]["changes"] == {"digest": [A, B]}
    assert (answer["events"][1]["record"], answer["events"][1]["utc_ms"]) == (changed, 3 * HOUR_MS)
    (subject,) = answer["subjects"]
    assert [period["readings"] for period in subject["periods"]] == [2, 1]
    assert answer["procedures"] == []


def test_which_weights_were_on_which_gpus_and_since_when(log: Log) -> None:
    log.gpus("GPU-aa11", "GPU-bb22")
    log.weights(A)
    log.gpus("GPU-aa11", driver="580.2")
    log.weights(B)
    answer = log.ask()
    assert [
        (
            one["digest"][0],
            one["gpu"],
            one["from_ms"] // HOUR_MS,
            one["to_ms"] and one["to_ms"] // HOUR_MS,
        )
        for one in answer["together"]
    ] == [("a", "GPU-aa11", 2, 4), ("a", "GPU-bb22", 2, 3), ("b", "GPU-aa11", 4, None)]
    assert ("gpu", "GPU-bb22", "left") in events(answer)
    (driver,) = [
        one for one in answer["events"] if one["event"] == "changed" and one["kind"] == "gpu"
    ]
    assert driver["changes"] == {"driver": ["570.1", "580.2"]}
    text = "\n".join(history_lines(answer))
    assert "not which process used which GPU" in text
    assert "driver: 570.1 → 580.2" in text


@pytest.mark.parametrize("asked", ["GPU-bb22", "gpu-BB", "bb2"])
def test_a_gpu_is_named_by_its_uuid_or_the_beginning_of_it(log: Log, asked: str) -> None:
    log.gpus("GPU-aa11", "GPU-bb22")
    log.weights(A)
    answer = log.ask(gpu=asked)
    assert [one["name"] for one in answer["subjects"]] == ["GPU-bb22"]
    assert [one["gpu"] for one in answer["together"]] == ["GPU-bb22"]


def test_what_is_not_there_is_refused_with_what_is(log: Log) -> None:
    log.weights(A)
    log.minted("AI-MDL.1", "PASS")
    for question, code in (
        ({"model": "gpt"}, "NO_SUCH_MODEL"),
        ({"gpu": "GPU-1"}, "NO_SUCH_GPU"),
        ({"procedure": "AI-HW.9"}, "NO_SUCH_PROCEDURE"),
    ):
        with pytest.raises(UsageError) as refused:
            log.ask(**question)
        assert refused.value.code == code
        assert refused.value.remedy.startswith("there are: ")


def test_verdicts_of_a_procedure_are_told_when_they_change(log: Log) -> None:
    for verdict in ("PASS", "PASS", "FAIL", "PASS"):
        log.hour += 1
        log.minted("AI-HW.1", verdict)
    log.minted("AI-HW.3", "FAIL")
    log.put(Kind.RELAYED, {}, {"procedure_id": "AI-HW.1", "anchor_fingerprint": "1" * 12})
    answer = log.ask(procedure="AI-HW.1")
    assert [one["changes"]["verdict"] for one in answer["events"]] == [
        [None, "PASS"],
        ["PASS", "FAIL"],
        ["FAIL", "PASS"],
    ]
    assert answer["procedures"] == [
        {"procedure_id": "AI-HW.1", "count": 5, "last_record": 5, "last_ms": 4 * HOUR_MS}
    ]
    assert answer["together"] == []
    text = "\n".join(history_lines(answer))
    assert "PASS since 1970-01-01 04:00:00 UTC" in text


def test_models_of_one_procedure_are_told_apart_even_where_their_names_were_cleared(
    log: Log,
) -> None:
    for number in range(3):
        evidence = log.weights(A)
        log.minted("AI-MDL.1", "PASS", evidence)
        log.minted("AI-MDL.1", "FAIL", evidence, model="named" if number else "")
    subjects = {one["name"]: one["periods"] for one in log.ask(procedure="AI-MDL.1")["subjects"]}
    assert {name: len(periods) for name, periods in subjects.items()} == {
        "AI-MDL.1": 1,
        "AI-MDL.1 #2": 1,
        "AI-MDL.1 named": 1,
    }


def test_pruned_or_broken_evidence_is_said_and_crashes_nothing(log: Log) -> None:
    log.weights(A)
    gone = log.weights(B)
    digest = json.loads(log.journal.read(gone).payload)["digest"]
    log.evidence.path(digest).unlink()
    log.hour += 1
    broken = log.evidence.put(b"[]")
    log.put(Kind.EVIDENCE, {}, {"collector": "weights", "digest": broken})
    log.put(Kind.EVIDENCE, {}, {"collector": "weights", "digest": 7})
    log.reading("weights", None, lack="busy", code="COLLECTOR_TIMEOUT")
    log.weights(A)
    answer = log.ask(model="llama")
    assert [one["changes"]["code"] for one in answer["events"] if one["event"] == "unread"] == [
        "EVIDENCE_MISSING",
        "EVIDENCE_UNREADABLE",
        "COLLECTOR_TIMEOUT",
    ]
    assert len(answer["subjects"][0]["periods"]) == 1
    assert "COLLECTOR_TIMEOUT" in "\n".join(history_lines(answer))


def test_an_absent_source_means_that_its_subjects_left(log: Log) -> None:
    log.gpus("GPU-1")
    log.reading("gpu", None, lack="absent", code="GPU_NO_DEVICE")
    assert [one[2] for one in events(log.ask(gpu="GPU-1"))] == ["appeared", "left"]


def test_since_tells_what_changed_after_and_of_what_was_in_force_then_when_it_began(
    log: Log,
) -> None:
    log.gpus("GPU-1")
    for digest in (A, B, B, A):
        log.weights(digest)
    answer = log.ask(model="llama", since_ms=4 * HOUR_MS + 1)
    assert [one["changes"] for one in answer["events"]] == [{"digest": [B, A]}]
    (subject,) = answer["subjects"]
    in_force = [(one["state"]["digest"], one["first_ms"]) for one in subject["periods"]]
    assert in_force == [(B, 3 * HOUR_MS), (A, 5 * HOUR_MS)]
    assert [one["from_ms"] for one in answer["together"]] == [3 * HOUR_MS, 5 * HOUR_MS]
    assert log.ask(gpu="GPU-1", since_ms=4 * HOUR_MS)["events"] == []  # it is known all the same


def test_a_clock_that_was_wrong_for_a_while_hides_no_change(log: Log) -> None:
    for digest in (A, A, A, B, B, B, B, B):
        log.weights(digest)
    hour, log.hour = log.hour, 0  # a start before the time was known
    log.weights(B)
    log.hour = hour
    log.weights(B)
    answer = log.ask(model="llama", since_ms=4 * HOUR_MS)
    assert [one["changes"] for one in answer["events"]] == [{"digest": [A, B]}]


def test_no_more_readings_are_looked_at_than_asked_for_and_that_is_said(log: Log) -> None:
    for number in range(20):
        log.weights(A if number < 15 else B)
        log.minted("AI-MDL.1", "PASS", number)
    log.gpus("GPU-1")
    answer = log.ask(newest=5)
    assert answer["looked_at"]["model"] == {"readings": 5, "of": 20}
    assert events(answer) == [("gpu", "GPU-1", "appeared")]  # what the others did is not known
    begins = {one["name"]: one["periods"][0]["begins"] for one in answer["subjects"]}
    assert begins == {"llama": False, "GPU-1": True, "AI-MDL.1": False}
    assert [one["begins"] for one in answer["together"]] == [True]
    text = "\n".join(history_lines(answer))
    assert "the newest 5 of 20 readings" in text
    assert "1970-01-01 16:00:00 UTC or before – now" in text
    assert "PASS since 1970-01-01 16:00:00 UTC or before" in text


def test_a_driver_that_is_replaced_is_one_change_to_read(log: Log) -> None:
    log.gpus("GPU-1", "GPU-2", "GPU-3")
    log.gpus("GPU-1", "GPU-2", "GPU-3", driver="580.2")
    text = "\n".join(history_lines(log.ask()))
    assert text.count("driver: 570.1 → 580.2") == 1
    assert "3 gpus changed, record 1" in text
    for gpu in ("GPU-1", "GPU-2", "GPU-3"):
        assert f"      {gpu}" in text


def test_an_empty_log_has_no_history(log: Log) -> None:
    answer = log.ask()
    assert (answer["subjects"], answer["events"], answer["together"]) == ([], [], [])
    assert history_lines(answer) == ["changes", "  none"]
