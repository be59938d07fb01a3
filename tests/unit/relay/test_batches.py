"""Batches are judged in portions; duplicates are known by client and batch, in bounded memory."""

import json
from typing import Any

from swt3_agent.protocol.custody import commitment
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.answers import Exchange, submitted
from swt3_agent.relay.batches import BatchJudgement, BatchMemory, answer_from_store
from swt3_agent.relay.judgement import Rules
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.origin import Origin, Peer
from swt3_agent.relay.request import SubmitRequest
from swt3_agent.relay.sink import StoredRecord
from tests.support.anchors import inference_anchor


class _Outlet:
    def flush(self) -> None: ...
    def resume(self) -> None: ...


def _memory(**limits: int) -> BatchMemory:
    return BatchMemory(IntakeLimits(**limits))


def _stored(memory: BatchMemory, client: str, batch: int) -> None:
    memory.settle(memory.start((client, batch), Exchange("id", _Outlet())), b"answer")


def test_of_a_client_that_the_store_was_not_asked_about_nothing_is_new() -> None:
    memory = _memory()
    assert not memory.is_new(("a", 5))
    memory.learn_highest("a", 4)
    assert memory.is_new(("a", 5))
    assert not memory.is_new(("a", 4))
    memory.learn_highest("b", None)
    assert memory.is_new(("b", 0))


def test_a_stored_batch_is_not_new_even_after_its_answer_is_forgotten() -> None:
    memory = _memory(max_remembered_batches=2)
    memory.learn_highest("a", None)
    for batch in (0, 1, 2):
        _stored(memory, "a", batch)
    assert memory.answer(("a", 0)) is None
    assert memory.answer(("a", 2)) == b"answer"
    assert not memory.is_new(("a", 0))
    assert memory.is_new(("a", 3))


def test_a_client_that_was_forgotten_while_its_batch_was_in_flight_is_asked_about_again() -> None:
    memory = _memory(max_remembered_clients=1)
    memory.learn_highest("a", 10)
    pending = memory.start(("a", 5), Exchange("id", _Outlet()))
    memory.learn_highest("b", None)
    memory.settle(pending, b"answer")
    assert not memory.is_new(("a", 7)), "7 may be among the ten"


def test_a_batch_that_failed_may_come_again() -> None:
    memory = _memory()
    memory.learn_highest("a", None)
    pending = memory.start(("a", 0), Exchange("id", _Outlet()))
    assert memory.pending(("a", 0)) is pending
    memory.forget(pending)
    assert memory.pending(("a", 0)) is None
    assert memory.is_new(("a", 0))


def test_remembered_answers_are_bounded_in_bytes() -> None:
    memory = _memory(max_remembered_bytes=100)
    for batch in range(10):
        memory.remember(("a", batch), bytes(40))
    assert [memory.answer(("a", batch)) is None for batch in (7, 8, 9)] == [True, False, False]


def _judgement(*payloads: bytes, level: int = 3, batch: int | None = 4) -> BatchJudgement:
    key = None if batch is None else ("client", batch)
    colons = [payload.count(b":") for payload in payloads]
    request = SubmitRequest("id", key, list(payloads), colons, escaped_colons=False)
    origin = Origin("intake", "LOCAL", Peer(1000, 1000, 42, 7, "/system.slice/x"))
    return BatchJudgement(request, Rules("LOCAL", level, IntakeLimits()), origin)


def _encoded(**changes: Any) -> bytes:
    return json.dumps(inference_anchor(**changes)).encode()


def test_is_done_in_portions_of_bounded_size() -> None:
    payloads = [_encoded() for _ in range(10)]
    judgement = _judgement(*payloads)
    portions = 0
    while not judgement.done:
        assert judgement.advance(2 * len(payloads[0])) <= 3 * len(payloads[0])
        portions += 1
    assert portions == 5
    assert [payload for _, _, payload in judgement.drafts()] == payloads


def test_what_has_to_be_judged_alone_is_done_in_smaller_portions() -> None:
    judgement = _judgement(*[b"{}"] * 1000)
    portions = 0
    while not judgement.done:
        judgement.advance(32 * 1024)
        portions += 1
    assert portions > 20
    assert [rejection.index for rejection in judgement.rejections()] == list(range(1000))


def test_what_is_refused_is_held_by_the_log_or_by_custody() -> None:
    prose = _encoded(legal_basis="GDPR Art. 6(1)(f)")
    unknown = _encoded(factor_a=2, prompt="what she said")
    wrong = _encoded(factor_a=2)
    judgement = _judgement(prose, _encoded(), b'"what she said"', unknown, wrong)
    judgement.advance(100_000)
    drafts = judgement.drafts()
    assert [kind for kind, _, _ in drafts] == [Kind.RELAYED, *[Kind.QUARANTINE] * 4]
    assert "legal_basis" not in json.loads(drafts[1][2])
    assert [payload for _, _, payload in drafts[2:]] == [b"", b"", wrong]
    assert [entry.original for entry in judgement.withheld] == [prose, b'"what she said"', unknown]
    said = [json.loads(provenance) for _, provenance, _ in drafts]
    assert [one.get("original") for one in said[1:]] == [
        *(commitment(entry.secret, entry.original) for entry in judgement.withheld),
        None,
    ]
    assert [(r.index, r.quarantined) for r in judgement.rejections()] == [
        (0, True),
        (2, True),
        (3, True),
        (4, True),
    ]


def test_the_answer_after_a_restart_is_the_one_that_was_given() -> None:
    judgement = _judgement(
        _encoded(agent_id="she said that"),
        _encoded(ai_latency_ms=1),
        _encoded(factor_a=2, unknown="text"),
        _encoded(factor_a=2, ai_latency_ms=1),
    )
    judgement.advance(100_000)
    rejections = judgement.rejections()
    assert [r.code for r in rejections] == ["BAD_FIELD", "BAD_FINGERPRINT", "BAD_FINGERPRINT"]
    stored = [
        StoredRecord(seq, kind, provenance)
        for seq, (kind, provenance, _) in enumerate(judgement.drafts())
    ]
    assert answer_from_store(stored) == submitted(4, 0, 1, rejections)
    assert len(judgement.withheld) == 4


def test_what_earlier_versions_dropped_is_still_answered_so() -> None:
    said = {"batch": 4, "dropped": [{"error": "agent_id is wrong", "indexes": [0, 2]}]}
    stored = [StoredRecord(7, Kind.RELAYED, json.dumps(said).encode())]
    answer = json.loads(b"{%b}" % answer_from_store(stored))
    assert (answer["total"], answer["accepted"]) == (3, 1)
    assert [(r["index"], r["code"], r["quarantined"]) for r in answer["results"]] == [
        (0, "BAD_FIELD", False),
        (2, "BAD_FIELD", False),
    ]


def test_provenance_differs_by_sender_and_level_only_where_they_do() -> None:
    judgement = _judgement(
        _encoded(agent_id="a"), _encoded(agent_id="b", clearing_level=2), _encoded(agent_id="a")
    )
    judgement.advance(100_000)
    said = [json.loads(provenance) for _, provenance, _ in judgement.drafts()]
    assert [one["agent"] for one in said] == ["a", "b", "a"]
    assert [one["declared_level"] for one in said] == [3, 2, 3]
    assert {one["batch"] for one in said} == {4}
    assert said[0]["cgroup"] == "/system.slice/x"


def test_without_a_batch_nothing_of_the_kind_is_said() -> None:
    judgement = _judgement(_encoded(), batch=None)
    judgement.advance(100_000)
    assert not {"client", "batch"} & json.loads(judgement.drafts()[0][1]).keys()
