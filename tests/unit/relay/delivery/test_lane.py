"""The lane: every record is sent until it has an answer of its own, whatever the ledger does."""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import JournalError
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.delivery.answers import Keep, Outcome, Refuse, Stop
from swt3_agent.relay.delivery.batches import BatchLimits, Item
from swt3_agent.relay.delivery.gate import Gate
from swt3_agent.relay.delivery.interfaces import Held
from swt3_agent.relay.delivery.jitter import FullJitter
from swt3_agent.relay.delivery.lane import (
    CUSTODY_POLL_S,
    MOST_REFUSED_IN_A_ROW,
    PROBE_S,
    Lane,
    LaneState,
    Step,
)
from tests.unit.relay.delivery.memory import MemoryLog, MemorySink, ScriptedLedger

FAULT = Reason("LEDGER_BUSY", "busy", "wait")
REFUSED = Refuse(Reason("LEDGER_REFUSED", "the ledger answered 422", "look"), too_large=False)


class Rig:
    """A lane with everything around it in memory."""

    def __init__(self, records: int = 0, batch: int = 10, size: int = 1 << 20) -> None:
        self.log = MemoryLog()
        self.sink = MemorySink()
        self.lack: Reason | None = None
        self.lane = Lane(
            self.log,
            self.sink,
            Gate("LOCAL", 3),
            BatchLimits(batch, size),
            lack=lambda: self.lack,
            jitter=FullJitter(lambda _low, high: high),
        )
        self.ledger = ScriptedLedger(lambda _items: None)
        for _ in range(records):
            self.log.add()

    def step(self) -> Step:
        return asyncio.run(self.lane.step(self.ledger))

    def run(self, steps: int = 10_000) -> Step:
        """Steps until there is nothing to do; those that failed are repeated at once."""
        for _ in range(steps):
            step = self.step()
            if step.state is LaneState.IDLE:
                return step
        raise AssertionError(f"{steps} steps and no end: {step}")

    @property
    def refused(self) -> list[int]:
        return [seq for seq, answer in self.sink.answers.items() if not answer.ok]


def test_everything_is_sent_in_order_and_then_there_is_nothing_to_wait_for() -> None:
    rig = Rig(25)
    assert rig.run() == Step(LaneState.IDLE, None, None)
    assert rig.ledger.taken == list(range(25))
    assert [body.count(b"anchor_fingerprint") for body in rig.ledger.bodies] == [10, 10, 5]
    assert rig.sink.cursor == 25
    assert rig.step().state is LaneState.IDLE
    assert len(rig.ledger.bodies) == 3


def test_stored_bytes_are_spliced_and_never_encoded_again() -> None:
    rig = Rig(3)
    rig.run()
    payloads = [record.payload for record in rig.log.records]
    assert rig.ledger.bodies == [b'{"witnesses":[' + b",".join(payloads) + b"]}"]
    assert len(json.loads(rig.ledger.bodies[0])["witnesses"]) == 3


def test_records_that_are_not_for_a_ledger_are_passed_over() -> None:
    rig = Rig()
    kinds = [Kind.BOOT, Kind.MINTED, Kind.QUARANTINE, Kind.OPAQUE, Kind.RELAYED, Kind.RECEIPT]
    for kind in kinds:
        rig.log.add(kind)
    rig.run()
    assert rig.ledger.taken == [1, 4]
    rig.log.add(Kind.CHECKPOINT)
    rig.run()
    rig.log.add()
    rig.run()
    assert rig.ledger.taken == [1, 4, 7]


def test_a_batch_is_as_large_as_it_may_be_and_one_record_goes_whatever_its_size() -> None:
    rig = Rig(4, size=700)
    rig.run()
    assert [len(body) <= 700 for body in rig.ledger.bodies] == [True, True]
    rig = Rig(3, size=10)
    rig.run()
    assert len(rig.ledger.bodies) == 3


def test_what_must_stay_is_held_back_with_its_reason_and_the_rest_is_sent() -> None:
    rig = Rig()
    for _ in range(2):
        rig.log.add(applied_level=2)
    rig.log.add()
    rig.log.add(tenant="OTHER")
    rig.log.add(applied_level=None)
    rig.run()
    assert rig.ledger.taken == [2]
    assert rig.sink.held == [
        Held(0, 2, "LEVEL_RAISED"),
        Held(3, 4, "OTHER_TENANT"),
        Held(4, 5, "LEVEL_RAISED"),
    ]
    assert rig.sink.cursor == 5


def test_what_cannot_be_read_is_held_back_and_the_rest_is_sent() -> None:
    records = (rig := Rig(7)).log.records
    payloads = b'{"clearing_level":3}', records[1].payload[:-1], b'{"\xff":"\xff"}', b"[" * 100_000
    for seq, payload in enumerate(payloads):
        records[seq] = replace(records[seq], payload=payload)
    for seq, provenance in enumerate((b"{", b'{"tenant":"\xff"}'), start=len(payloads)):
        records[seq] = replace(records[seq], provenance=provenance)
    rig.run()
    assert rig.ledger.taken == [6]
    assert rig.sink.held == [Held(0, 6, "UNREADABLE")]


def test_no_range_of_what_is_held_back_reaches_over_a_record_that_is_sent() -> None:
    """So that a batch can be halved at any record."""
    rig = Rig()
    for number in range(6):
        rig.log.add(applied_level=2 + number % 2)
    rig.ledger.respond = lambda items: REFUSED if 3 in {item.seq for item in items} else None
    rig.run()
    assert rig.sink.held == [Held(seq, seq + 1, "LEVEL_RAISED") for seq in (0, 2, 4)]
    assert (rig.ledger.taken, rig.refused) == ([1, 5], [3])


def test_a_stretch_that_is_all_held_back_is_settled_without_a_post() -> None:
    rig = Rig()
    for _ in range(30):
        rig.log.add(tenant="OTHER")
    rig.run()
    assert rig.ledger.bodies == []
    assert rig.sink.cursor == 30


def test_a_failure_keeps_the_batch_and_the_same_bytes_go_again() -> None:
    rig = Rig(5)
    rig.ledger.respond = lambda _items: Keep(FAULT)
    waits = [rig.step().wait_s for _ in range(12)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    rig.log.add()
    rig.ledger.respond = lambda _items: None
    rig.run()
    assert len(set(rig.ledger.bodies[:13])) == 1
    assert rig.ledger.taken == list(range(6))
    rig.log.add()
    rig.ledger.respond = lambda _items: Keep(FAULT)
    assert rig.step().wait_s == 1, "a success begins the waits anew"


def test_what_the_ledger_asks_for_is_the_least_wait() -> None:
    rig = Rig(1)
    rig.ledger.respond = lambda _items: Keep(FAULT, retry_after_s=120)
    step = rig.step()
    assert (step.state, step.fault, step.wait_s) == (LaneState.BACKING_OFF, FAULT, 120)


def test_the_record_that_is_not_liked_is_found_and_the_rest_is_sent() -> None:
    rig = Rig(100, batch=100)
    poison = {13, 14, 77}
    rig.ledger.respond = lambda items: REFUSED if poison & {item.seq for item in items} else None
    rig.run()
    assert set(rig.refused) == poison
    assert rig.sink.answers[13].error == "the ledger answered 422"
    assert rig.ledger.taken == [n for n in range(100) if n not in poison]
    assert len(rig.ledger.bodies) < 50


def test_bodies_shrink_where_they_are_too_large_and_grow_again() -> None:
    rig = Rig(2000, batch=100)
    most = len(rig.log.records[0].payload) * 30
    too_large = Refuse(FAULT, too_large=True)

    def respond(items: Sequence[Item]) -> Outcome | None:
        return too_large if sum(len(item.payload) for item in items) > most else None

    rig.ledger.respond = respond
    rig.run()
    assert rig.ledger.taken == list(range(2000))
    assert len(rig.ledger.bodies) < 200
    rig.ledger.respond = lambda _items: None
    for _ in range(2000):
        rig.log.add()
    rig.run()
    assert len(rig.ledger.taken) == 4000


def test_a_record_that_is_too_large_by_itself_is_put_aside() -> None:
    rig = Rig(5)
    rig.ledger.respond = lambda items: (
        Refuse(FAULT, too_large=True) if 2 in {i.seq for i in items} else None
    )
    rig.run()
    assert rig.refused == [2]


def test_a_ledger_that_refuses_everything_stops_the_lane_before_all_is_put_aside() -> None:
    rig = Rig(200)
    rig.ledger.respond = lambda _items: REFUSED
    while (step := rig.step()).state is not LaneState.STOPPED:
        pass
    assert step.fault is not None
    assert (step.fault.code, step.wait_s) == ("LEDGER_REFUSES_ALL", PROBE_S)
    assert len(rig.refused) == MOST_REFUSED_IN_A_ROW
    for _ in range(5):
        assert rig.step().state is LaneState.STOPPED
    assert len(rig.refused) == MOST_REFUSED_IN_A_ROW, "a probe puts nothing aside"
    rig.ledger.respond = lambda _items: None
    rig.run()
    assert len(rig.ledger.taken) == 200 - MOST_REFUSED_IN_A_ROW


def test_many_refusals_with_deliveries_between_them_are_a_matter_of_the_records() -> None:
    count = 4 * MOST_REFUSED_IN_A_ROW
    rig = Rig(count, batch=2)
    rig.ledger.respond = lambda items: REFUSED if any(item.seq % 2 for item in items) else None
    rig.run()
    assert rig.refused == list(range(1, count, 2))


def test_a_lane_that_stopped_keeps_everything_and_goes_on_when_told() -> None:
    rig = Rig(5)
    rig.ledger.respond = lambda _items: Stop(FAULT)
    assert rig.step() == Step(LaneState.STOPPED, FAULT, PROBE_S)
    assert rig.sink.cursor == 0
    rig.ledger.respond = lambda _items: None
    rig.lane.resume()
    rig.run()
    assert rig.ledger.taken == list(range(5))


def test_nothing_is_sent_while_custody_does_not_keep_what_was_cleared() -> None:
    rig = Rig(5)
    rig.lack = Reason("CUSTODY_FULL", "the disk is full", "make room")
    assert rig.step() == Step(LaneState.WAITING_CUSTODY, rig.lack, CUSTODY_POLL_S)
    assert rig.ledger.bodies == []
    rig.lack = None
    rig.run()
    assert rig.ledger.taken == list(range(5))


def test_answers_that_could_not_be_kept_are_kept_later_and_nothing_is_sent_again() -> None:
    rig = Rig(5)
    rig.sink.failures = [JournalError("DISK_FULL", "no room", remedy="", retryable=True)]
    with pytest.raises(JournalError):
        rig.step()
    assert rig.sink.cursor == 0
    rig.run()
    assert rig.ledger.taken == list(range(5))


def test_refused_records_are_sent_again_on_demand_before_others() -> None:
    rig = Rig(30)
    rig.ledger.respond = lambda items: REFUSED if {3, 17} & {i.seq for i in items} else None
    rig.run()
    rig.log.add()
    rig.ledger.respond = lambda items: REFUSED if 17 in {i.seq for i in items} else None
    rig.ledger.taken.clear()
    rig.lane.retry([17, 3])
    rig.run()
    assert rig.ledger.taken == [3, 30]
    assert rig.refused == [17]


def all_refused(records: int) -> Rig:
    """Records that were all refused, by a ledger that would take them now."""
    rig = Rig(records)
    rig.ledger.respond = lambda _items: REFUSED
    rig.run()
    assert len(rig.refused) == records
    rig.ledger.respond = lambda _items: None
    return rig


def test_records_that_are_ordered_again_twice_are_sent_once_and_in_order() -> None:
    rig = all_refused(25)
    rig.ledger.respond = lambda _items: Keep(FAULT)
    rig.lane.retry(range(25))
    rig.step()
    rig.lane.retry([24, 3, 11])
    rig.ledger.respond = lambda _items: None
    rig.run()
    assert rig.ledger.taken == list(range(25))


def test_records_to_be_sent_again_are_read_as_they_are_sent() -> None:
    """What was refused for its size would not fit into memory all at once."""
    rig = all_refused(60)
    scanned = rig.log.scanned
    rig.lane.retry(range(60))
    rig.step()
    assert rig.log.scanned - scanned <= 11
    rig.run()
    assert rig.ledger.taken == list(range(60))


def test_an_order_that_cannot_be_read_is_dropped_and_the_lane_goes_on() -> None:
    rig = all_refused(5)
    rig.log.unreadable = 2
    rig.lane.retry(range(5))
    with pytest.raises(JournalError, match="record 2"):
        rig.step()
    rig.log.add()
    rig.run()
    assert rig.ledger.taken == [5]


def test_what_a_bundle_settled_meanwhile_is_not_read_again() -> None:
    rig = Rig(30)
    rig.step()
    rig.sink.cursor = 28
    rig.run()
    assert rig.ledger.taken == [*range(10), 28, 29]


@given(
    records=st.integers(1, 60),
    batch=st.integers(1, 20),
    poison=st.sets(st.integers(0, 59), max_size=8),
    kinds=st.sets(st.integers(0, 59), max_size=30),
    seed=st.integers(0, 1000),
)
def test_whatever_happens_each_record_is_settled_once_and_only_poison_is_refused(
    records: int, batch: int, poison: set[int], kinds: set[int], seed: int
) -> None:
    rig = Rig(batch=batch)
    for number in range(records):
        rig.log.add(Kind.EVIDENCE if number in kinds else Kind.RELAYED)
    chance = random.Random(seed)

    def respond(items: Sequence[Item]) -> Outcome | None:
        if chance.random() < 0.3:
            troubles: list[Outcome] = [Keep(FAULT), Stop(FAULT), Refuse(FAULT, too_large=True)]
            return chance.choice(troubles)
        return REFUSED if poison & {item.seq for item in items} else None

    def without_413_alone(items: Sequence[Item]) -> Outcome | None:
        outcome = respond(items)
        alone = len(items) == 1 and isinstance(outcome, Refuse) and outcome.too_large
        return Keep(FAULT) if alone else outcome

    rig.ledger.respond = without_413_alone
    rig.run()
    sent = {number for number in range(records) if number not in kinds}
    assert set(rig.sink.answers) == sent
    assert set(rig.refused) == sent & poison
    assert rig.ledger.taken == sorted(sent - poison)


def test_waits_are_drawn_from_the_whole_span() -> None:
    jitter = FullJitter(random.Random(1).uniform)
    waits = [jitter.next() for _ in range(40)]
    assert all(0 <= wait <= 300 for wait in waits)
    assert waits[0] <= 1
    assert max(waits) > 150
    assert min(waits[15:]) < 100
    assert jitter.next(at_least=3600) == 3600
