"""The intake's messages over a real socket (docs/formats.md, "Intake")."""

import json
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.errors import JournalError
from swt3_agent.protocol.custody import commitment
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.limits import IntakeLimits
from tests.integration.relay.harness import Peer, RunningIntake, serving
from tests.integration.relay.list_sink import ListSink
from tests.support.anchors import inference_anchor, submission


def encoded(anchor: dict[str, Any]) -> bytes:
    return json.dumps(anchor).encode()


class TestSubmit:
    def test_stores_the_bytes_of_each_witness_as_they_came(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        odd = b'{ "cycle_id" : "\\u0061b",' + encoded(inference_anchor())[1:]
        with Peer(path) as peer:
            peer.send(b'{"op":"submit","id":"a","witnesses":[ %b ,%b]}\n' % (odd, odd))
            answer = peer.answer()
        assert answer == {
            "id": "a",
            "ok": True,
            "total": 2,
            "accepted": 2,
            "rejected": 0,
            "first_seq": 0,
            "results": [],
        }
        assert sink.payloads(Kind.RELAYED) == [odd, odd]

    def test_numbers_accepted_records_without_a_gap_and_quarantines_the_others(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        wrong = inference_anchor(factor_a=2)
        good = [inference_anchor(), inference_anchor()]
        late = inference_anchor(anchor_epoch=1)
        request = {"op": "submit", "id": "b", "witnesses": [good[0], wrong, good[1], late]}
        with Peer(path) as peer:
            answer = peer.ask(request)
        assert (answer["total"], answer["accepted"], answer["rejected"]) == (4, 2, 2)
        assert answer["first_seq"] == 0
        assert [(r["index"], r["code"], r["quarantined"]) for r in answer["results"]] == [
            (1, "BAD_FINGERPRINT", True),
            (3, "BAD_FIELD", True),
        ]
        assert [kind for kind, _, _ in sink.records] == [
            Kind.RELAYED,
            Kind.RELAYED,
            Kind.QUARANTINE,
            Kind.QUARANTINE,
        ]
        assert sink.payloads(Kind.QUARANTINE) == [encoded(wrong), encoded(late)]
        said = json.loads(sink.records[2][1])
        assert (said["index"], said["code"]) == (1, "BAD_FINGERPRINT")
        assert said["error"] == answer["results"][0]["error"]

    def test_says_null_for_the_first_number_when_nothing_was_accepted(
        self, intake: RunningIntake, path: Path
    ) -> None:
        with Peer(path) as peer:
            answer = peer.ask({"op": "submit", "id": "c", "witnesses": [{}]})
        assert (answer["ok"], answer["first_seq"], answer["rejected"]) == (True, None, 1)

    def test_an_empty_batch_is_answered_and_stores_nothing(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        with Peer(path) as peer:
            answer = peer.ask(submission(0, 1))
        assert (answer["ok"], answer["total"]) == (True, 0)
        assert sink.appends == 0

    def test_a_record_beyond_the_nodes_level_is_cleared_and_custody_gets_the_rest(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        quiet = inference_anchor()
        talkative = {**quiet, "ai_latency_ms": 12, "ai_context": {"provider": "x"}}
        with Peer(path) as peer:
            answer = peer.ask({"op": "submit", "id": "d", "witnesses": [talkative, quiet]})
        assert (answer["accepted"], answer["results"]) == (2, [])
        assert sink.payloads(Kind.RELAYED) == [
            json.dumps(quiet, separators=(",", ":")).encode(),
            encoded(quiet),
        ]
        (entry,) = sink.withheld
        assert (entry.original, entry.level) == (encoded(talkative), 3)
        assert entry.cleared == sink.records[0][2]
        said = [json.loads(provenance) for _, provenance, _ in sink.records]
        assert said[0].pop("original") == commitment(entry.secret, encoded(talkative))
        assert said[0] == said[1]
        assert intake.server.counters.cleared == 1

    def test_what_is_quarantined_is_cleared_first(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        wrong = inference_anchor(factor_a=2, ai_latency_ms=12, ai_prompt_hash="315f5bdb76d078c4")
        with Peer(path) as peer:
            answer = peer.ask({"op": "submit", "id": "d", "witnesses": [wrong]})
        (result,) = answer["results"]
        assert (result["code"], result["quarantined"]) == ("BAD_FINGERPRINT", True)
        (kept,) = sink.payloads(Kind.QUARANTINE)
        assert not {"ai_latency_ms", "ai_prompt_hash"} & json.loads(kept).keys()
        (entry,) = sink.withheld
        said = json.loads(sink.records[0][1])
        assert said["original"] == commitment(entry.secret, encoded(wrong))
        assert (said["code"], said["index"]) == ("BAD_FINGERPRINT", 0)

    def test_provenance_says_who_sent_what_under_which_levels(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        request = submission(1, 7, "client-1")
        request["witnesses"] = [inference_anchor(agent_id="node-7", clearing_level=1)]
        with Peer(path) as peer:
            assert peer.ask(request)["accepted"] == 1
        provenance = sink.records[0][1]
        said = json.loads(provenance)
        assert {key: said[key] for key in ("listener", "client", "batch", "tenant", "agent")} == {
            "listener": "intake",
            "client": "client-1",
            "batch": 7,
            "tenant": "LOCAL",
            "agent": "node-7",
        }
        assert (said["declared_level"], said["applied_level"]) == (1, 3)
        assert provenance == json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


class TestAnswers:
    def test_come_in_the_order_of_pipelined_requests(
        self, intake: RunningIntake, path: Path
    ) -> None:
        requests = [submission(1, batch) for batch in range(200)]
        requests[50] = {"op": "check", "id": "unknown"}
        with Peer(path) as peer:
            peer.send(b"".join(json.dumps(request).encode() + b"\n" for request in requests))
            ids = [peer.answer()["id"] for _ in requests]
        assert ids == [request["id"] for request in requests]

    def test_an_unknown_op_is_named_and_leaves_the_connection_usable(
        self, intake: RunningIntake, path: Path
    ) -> None:
        with Peer(path) as peer:
            answer = peer.ask({"op": "delete", "id": "12345678"})
            assert (answer["id"], answer["ok"]) == ("12345678", False)
            assert (answer["code"], answer["retryable"]) == ("UNKNOWN_OP", False)
            assert peer.ask(submission(1, 1))["accepted"] == 1

    def test_a_full_disk_and_a_busy_store_are_told_as_retryable(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        full = JournalError("DISK_FULL", "no room", remedy="make room", retryable=True)
        busy = JournalError("BUSY", "too much waits", remedy="wait", retryable=True)
        with Peer(path) as peer:
            sink.fail_with = full
            answer = peer.ask(submission(1, 1))
            assert (answer["code"], answer["retryable"]) == ("DISK_FULL", True)
            sink.fail_with, sink.refuse_with = None, busy
            answer = peer.ask(submission(1, 1))
            assert (answer["code"], answer["retryable"]) == ("BUSY", True)
            sink.refuse_with = None
            assert peer.ask(submission(1, 1))["accepted"] == 1
        assert len(sink.records) == 1

    def test_a_failed_commit_leaves_the_outcome_unknown(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        sink.fail_with = JournalError("JOURNAL_FAILED", "fdatasync failed", remedy="restart")
        with Peer(path) as peer:
            answer = peer.ask(submission(1, 1))
        assert (answer["code"], answer["retryable"]) == ("OUTCOME_UNKNOWN", True)


class TestRepeatedBatch:
    def test_gets_the_same_answer_and_stores_nothing(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        request = submission(3, 17)
        request["witnesses"][1]["factor_a"] = 9
        with Peer(path) as peer:
            first = peer.ask(request)
        with Peer(path) as peer:
            again = peer.ask({**request, "id": "another"})
        assert again == {**first, "id": "another"}
        assert len(sink.records) == 3

    def test_the_first_answer_stands_for_another_body(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        with Peer(path) as peer:
            first = peer.ask(submission(3, 1))
            other = peer.ask(submission(5, 1))
        assert other == first
        assert len(sink.records) == 3

    def test_in_flight_gets_the_answer_of_the_first(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        sink.stall()
        request = submission(2, 1)
        with Peer(path) as one, Peer(path) as two:
            one.send_request(request)
            assert one.answer()["code"] == "OUTCOME_UNKNOWN"
            two.send_request({**request, "id": "again"})
            assert two.answer()["code"] == "OUTCOME_UNKNOWN"
            sink.release()
            answer = two.ask(request)
            while not answer["ok"]:
                answer = two.ask(request)
        assert answer["accepted"] == 2
        assert len(sink.records) == 2

    def test_is_known_after_a_restart(self, tmp_path: Path) -> None:
        request = submission(4, 3)
        request["witnesses"][0]["factor_a"] = 9
        request["witnesses"][2]["agent_id"] = "a name with spaces"
        first_sink = ListSink()
        with serving(tmp_path / "a.sock", first_sink), Peer(tmp_path / "a.sock") as peer:
            first = peer.ask(request)
        first_sink.close()
        assert (first["accepted"], first["rejected"]) == (2, 2)
        second_sink = ListSink(first_sink.records)
        with serving(tmp_path / "b.sock", second_sink), Peer(tmp_path / "b.sock") as peer:
            assert peer.ask(request) == first
            assert peer.ask(submission(1, 4))["first_seq"] == 4
        second_sink.close()
        assert len(second_sink.records) == 5

    def test_is_known_when_memory_has_forgotten_it(self, path: Path, sink: ListSink) -> None:
        limits = IntakeLimits(max_remembered_batches=1, max_remembered_clients=1)
        with serving(path, sink, limits=limits), Peer(path) as peer:
            first = peer.ask(submission(2, 1, "one"))
            peer.ask(submission(1, 1, "two"))
            assert peer.ask(submission(2, 1, "one")) == first
        assert len(sink.records) == 3

    def test_without_client_and_batch_is_a_new_one(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        request = {"op": "submit", "id": "x", "witnesses": [inference_anchor()]}
        with Peer(path) as peer:
            peer.ask(request)
            peer.ask(request)
        assert len(sink.records) == 2


@pytest.mark.parametrize("stalls", [1, 3])
def test_a_stalled_store_is_answered_in_time_and_the_batch_is_stored_once(
    intake: RunningIntake, path: Path, sink: ListSink, stalls: int
) -> None:
    request = submission(2, 5)
    sink.stall()
    with Peer(path) as peer:
        for _ in range(stalls):
            answer = peer.ask(request)
            assert (answer["code"], answer["retryable"]) == ("OUTCOME_UNKNOWN", True)
        sink.release()
        answer = peer.ask(request)
        while not answer["ok"]:
            answer = peer.ask(request)
    assert (answer["accepted"], answer["first_seq"]) == (2, 0)
    assert len(sink.records) == 2


def test_stop_answers_what_is_in_flight_and_removes_the_socket(
    tmp_path: Path, sink: ListSink
) -> None:
    path = tmp_path / "intake.sock"
    with serving(path, sink) as running, Peer(path) as peer:
        sink.stall()
        peer.send_request(submission(1, 1))
        while sink.appends == 0:
            running.call(_nothing())
        running.call(running.server.stop())
        assert peer.answer()["code"] == "OUTCOME_UNKNOWN"
        assert peer.is_closed_by_server()
        sink.release()
    assert not path.exists()


async def _nothing() -> None:
    """One round of the loop."""
