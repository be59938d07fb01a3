"""The daily roll-up over a real journal and pipeline; only the clock is the test's own."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swt3_agent.daemon.audit import AuditCollector
from swt3_agent.daemon.breath import Breath
from swt3_agent.errors import JournalError
from swt3_agent.pipeline import Attestation, Minter, Pipeline
from swt3_agent.protocol.appraisal.audit import appraise_audit
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.merkle import (
    MerkleProof,
    MerkleStep,
    get_merkle_root,
    verify_merkle_proof,
)
from swt3_agent.protocol.proof import decode_proof
from swt3_agent.protocol.record import Kind
from swt3_agent.store import group_commit, heads
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.days import DayTrees
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.heads import HeadKeeper
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.store.seals import Seals
from swt3_agent.store.segment_keys import SegmentKeys, key_file
from swt3_agent.store.state import StateDirectory
from tests.unit.store.records import RAW, flip

TENANT = "LOCAL"


class Clock:
    """UTC, as the test says."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def set(self, text: str) -> None:
        self.now_s = datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()

    def __call__(self) -> float:
        return self.now_s

    def time_ns(self) -> int:
        return int(self.now_s * 1e9)


class Node:
    """Journal, catalogue and audit of a node; ``restart`` is a new process on the same state."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root, self.clock = root, clock
        self.found: list[Reason] = []
        self.start()

    def start(self) -> None:
        self.journal = Journal.open(self.root / "journal", self.root / "keys")
        self.catalogue = Catalogue.open(self.root / "catalogue.db", self.journal)
        self.evidence = EvidenceStore(self.root / "evidence")
        self.pipeline = Pipeline(Minter(TENANT, 1, None), self.journal, self.evidence)
        self.days = DayTrees(self.journal, self.catalogue, TENANT, clock_s=self.clock)
        self.audit = AuditCollector(
            self.journal,
            self.catalogue,
            self.days,
            TENANT,
            breath=Breath(),
            found=self.found.extend,
            clock_s=self.clock,
        )

    def stop(self) -> None:
        self.audit.stop()
        self.catalogue.close()
        self.journal.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def anchor(self, fingerprint: str, day: str | None = None, tenant: str = TENANT) -> int:
        """A relayed anchor of ``day``, today's where none is named."""
        epoch = self.clock.now_s
        if day is not None:
            epoch = datetime.fromisoformat(day).replace(tzinfo=timezone.utc).timestamp()
        payload = {
            "procedure_id": "AI-INF.1",
            "anchor_fingerprint": fingerprint,
            "anchor_epoch": int(epoch),
        }
        provenance = json.dumps({"tenant": tenant}).encode()
        draft = Draft(Kind.RELAYED, provenance, json.dumps(payload).encode())
        return self.journal.append([draft]).result().first_seq

    def head(self) -> None:
        keeper = HeadKeeper(
            self.journal,
            self.catalogue,
            None,
            node_id="ab" * 16,
            log_id="cd" * 8,
            boot_id="boot-1",
            log_pcr=13,
        )
        keeper.recover()
        keeper.checkpoint("test")

    def seal(self) -> tuple[Attestation, ...]:
        """What the scheduler does every quarter of an hour."""
        if not self.audit.is_due():
            return ()
        return self.pipeline.run(self.audit, appraise_audit)

    def fingerprints(self, *kinds: Kind) -> list[str]:
        return [
            json.loads(record.payload)["anchor_fingerprint"]
            for record in self.journal.scan(0)
            if record.kind in (kinds or (Kind.MINTED, Kind.RELAYED))
        ]

    def root_of(self, date: str) -> dict[str, Any]:
        view = self.days.root(date)
        assert view is not None
        return view


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (group_commit, heads):  # when a record was received, and what a head says
        monkeypatch.setattr(module, "time", SimpleNamespace(time_ns=clock.time_ns))
    clock.set("2026-03-01T15:00:00")
    return clock


@pytest.fixture
def node(tmp_path: Path, clock: Clock) -> Iterator[Node]:
    StateDirectory.open(tmp_path / "state").close()
    node = Node(tmp_path / "state", clock)
    yield node
    node.stop()


def proves(proof: dict[str, Any]) -> bool:
    steps = tuple(MerkleStep(step["hash"], step["position"]) for step in proof["steps"])
    return verify_merkle_proof(
        MerkleProof(proof["fingerprint"], proof["leaf_hash"], proof["root"], steps)
    )


def test_the_first_partial_day_is_sealed_a_quarter_past_midnight_and_not_before(
    node: Node, clock: Clock
) -> None:
    fingerprints = [f"{n:012x}" for n in (7, 3, 3, 9)]
    for fingerprint in fingerprints:
        node.anchor(fingerprint)
    for moment in ("2026-03-01T23:59:59", "2026-03-02T00:14:59"):
        clock.set(moment)
        assert node.seal() == ()
        assert node.root_of("2026-03-01")["sealed"] is False
    clock.set("2026-03-02T00:15:00")
    (attested,) = node.seal()
    assert attested.appraisal.procedure_id == "AI-AUDIT.1"
    assert attested.appraisal.factors == (4, 1, 3)
    view = node.root_of("2026-03-01")
    assert view == {
        "tenant": TENANT,
        "date": "2026-03-01",
        "sealed": True,
        "root": get_merkle_root(fingerprints),
        "count": 4,
        "late": 0,
        "verified": True,
        "read_back": 4,
        "sealed_at": int(clock.now_s * 1000),
        "log": {"size": 4, "root": node.journal.root(4).hex()},
        "record": attested.evidence_record,
        "anchor": {
            "record": attested.record,
            "fingerprint": attested.fingerprint,
            "token": attested.token,
        },
    }
    context = json.loads(node.journal.read(attested.record).payload)["ai_context"]
    assert context["merkle_root"] == view["root"]
    assert context["log_hash"] == view["log"]["root"]
    assert node.seal() == ()


def test_an_anchor_of_before_midnight_that_comes_after_the_seal_is_late(
    node: Node, clock: Clock
) -> None:
    node.anchor("00000000000a")
    clock.set("2026-03-02T00:10:00")
    node.anchor("00000000000b", "2026-03-01T23:59:58")  # still in time
    node.anchor("00000000000c")  # of the day that runs
    clock.set("2026-03-02T00:15:00")
    node.seal()
    clock.set("2026-03-02T00:20:00")
    node.anchor("00000000000d", "2026-03-01T23:59:59")  # too late
    node.anchor("00000000000e", "1970-01-01")  # of before the log
    clock.set("2026-03-03T00:20:00")
    node.seal()
    assert node.root_of("2026-03-01")["root"] == get_merkle_root(["00000000000a", "00000000000b"])
    day = node.root_of("2026-03-02")
    (minted,) = node.fingerprints(Kind.MINTED)[:1]
    second = ["00000000000c", "00000000000d", "00000000000e", minted]
    assert (day["root"], day["count"], day["late"]) == (get_merkle_root(second), 4, 2)
    for fresh in (False, True):
        if fresh:
            node.restart()
        for fingerprint, late in (("00000000000c", False), ("00000000000d", True)):
            proof = node.days.proof(fingerprint)
            assert proof is not None
            assert proves(proof)
            assert proof["root"] == day["root"]
            assert (proof["day"]["date"], proof["late"]) == ("2026-03-02", late)


def test_a_week_without_the_agent_is_sealed_in_order_when_it_is_back(
    node: Node, clock: Clock
) -> None:
    node.anchor("00000000000a")
    node.restart()
    clock.set("2026-03-09T11:00:00")
    node.anchor("00000000000b", "2026-03-04T08:00:00")  # a client kept it while we were down
    attested = node.seal()
    assert [one.appraisal.subject for one in attested] == [
        "2026-03-01",
        "2026-03-04",
        "2026-03-08",
    ]
    assert node.root_of("2026-03-04")["root"] == get_merkle_root(["00000000000b"])
    empty = node.root_of("2026-03-08")
    assert (empty["sealed"], empty["root"], empty["count"]) == (True, "", 0)
    assert node.days.root("2026-03-05") is None  # an empty day that nobody sealed has no tree
    assert node.days.root("2026-03-10") is None  # to come
    assert node.days.root("2026-02-28") is None  # before the log
    assert node.seal() == ()


def test_a_clock_that_ran_ahead_does_not_stop_the_days(node: Node, clock: Clock) -> None:
    node.anchor("00000000000a")
    clock.set("2027-03-01T12:00:00")
    node.anchor("00000000000b")
    assert [one.appraisal.subject for one in node.seal()] == ["2026-03-01", "2027-02-28"]
    clock.set("2026-03-01T16:00:00")  # put right
    node.anchor("00000000000c")
    assert node.seal() == ()
    with pytest.raises(JournalError) as waits:  # not that it is unknown
        node.days.proof("00000000000c")
    assert (waits.value.code, waits.value.retryable) == ("NO_TREE_YET", True)
    clock.set("2026-03-03T00:15:00")
    (attested,) = node.seal()
    assert attested.appraisal.subject == "2026-03-02"
    proof = node.days.proof("00000000000b")
    assert proof is not None
    assert (proof["day"]["date"], proof["late"]) == ("2026-03-02", True)
    every = sum(node.root_of(date)["count"] for date in ("2026-03-01", "2026-03-02", "2027-02-28"))
    assert every == len(node.fingerprints()) - 1  # all but the newest AI-AUDIT.1


def test_a_log_that_a_wrong_clock_began_is_sealed_all_the_same(node: Node, clock: Clock) -> None:
    clock.set("2030-01-01T12:00:00")
    node.anchor("00000000000a")
    clock.set("2026-03-01T12:00:00")  # put right
    node.anchor("00000000000b")
    for fingerprint in ("00000000000a", "00000000000b"):
        proof = node.days.proof(fingerprint)
        assert proof is not None
        assert proves(proof)
    (attested,) = node.seal()
    assert attested.appraisal.subject == "2026-02-28"
    assert node.seal() == ()
    clock.set("2026-03-02T00:15:00")
    (attested,) = node.seal()
    assert attested.appraisal.subject == "2026-03-01"
    for fingerprint, date in (("00000000000a", "2026-02-28"), ("00000000000b", "2026-03-01")):
        proof = node.days.proof(fingerprint)
        assert proof is not None
        assert (proof["day"]["date"], proof["day"]["sealed"]) == (date, True)


def test_a_seal_that_a_crash_kept_from_its_anchor_is_said_again(node: Node, clock: Clock) -> None:
    node.anchor("00000000000a")
    clock.set("2026-03-02T00:15:00")
    with pytest.raises(RuntimeError):
        node.pipeline.run(node.audit, crash)
    before = node.root_of("2026-03-01")
    assert before["anchor"] is None
    node.restart()
    node.anchor("00000000000b", "2026-03-01")  # must not change what was sealed
    (attested,) = node.seal()
    assert attested.appraisal.subject == "2026-03-01"
    after = node.root_of("2026-03-01")
    assert after["root"] == before["root"]
    assert after["anchor"]["record"] == attested.record
    assert node.seal() == ()
    proof = node.days.proof("00000000000a")
    assert proof is not None
    assert proves(proof)


def test_two_who_ask_at_once_seal_a_day_once(node: Node, clock: Clock) -> None:
    """The scheduler and `attest audit`: the second must see what the first recorded."""
    for n in range(20):
        node.anchor(f"{n:012x}")
    clock.set("2026-03-02T00:15:00")
    together = threading.Barrier(4)

    def ask(_: int) -> int:
        together.wait(20)
        return len(node.pipeline.run(node.audit, appraise_audit))

    with ThreadPoolExecutor(4) as asking:
        assert list(asking.map(ask, range(4))) == [1] * 4
    of_days = [
        json.loads(record.payload).get("ai_context", {}).get("date")
        for record in node.journal.scan(0)
        if record.kind is Kind.MINTED
    ]
    assert sorted(of_days, key=str) == ["2026-03-01", None, None, None]
    stated = [
        json.loads(node.journal.read(seq).payload).get("stated")
        for seq in node.catalogue.records_of(Kind.EVIDENCE, collector="audit")
    ]
    assert len([one for one in stated if one is not None]) == 1


def test_a_log_that_seals_a_day_twice_is_read_by_the_first(node: Node, clock: Clock) -> None:
    node.anchor("00000000000a")
    clock.set("2026-03-02T00:15:00")
    node.seal()
    before = node.root_of("2026-03-01")
    record = node.journal.read(before["record"])
    other = json.loads(record.payload)
    other["stated"]["days"][0] |= {"end": 9, "count": 9, "root": "ab" * 32}
    draft = Draft(Kind.EVIDENCE, record.provenance, json.dumps(other).encode())
    node.journal.append([draft]).result()
    assert node.root_of("2026-03-01") == before
    proof = node.days.proof("00000000000a")
    assert proof is not None
    assert proves(proof)


def crash(_reading: object) -> Any:
    raise RuntimeError


@pytest.mark.parametrize("damaged", [0, 2])
def test_a_log_that_cannot_be_read_fails_is_not_sealed_and_not_tried_at_every_turn(
    node: Node, clock: Clock, damaged: int
) -> None:
    for n in range(3):
        node.anchor(f"{n:012x}")
    node.journal.follow()
    size = (node.root / "journal" / RAW).read_bytes().rstrip(b"\0")
    flip(node.root / "journal" / RAW, len(size) * damaged // 3 + 60)
    clock.set("2026-03-02T00:15:00")
    (attested,) = node.seal()
    assert attested.appraisal.factors == (0, 0, 3)
    assert attested.appraisal.outcome.value == "FAIL"
    assert [reason.code for reason in node.found] == ["SEGMENT_DAMAGED"]
    assert node.days.last_sealed() is None
    clock.set("2026-03-02T00:30:00")
    assert node.seal() == ()
    clock.set("2026-03-03T00:15:00")
    assert len(node.seal()) == 1


def change_head(node: Node) -> None:
    """A head in the log over another root, as one has whose records were changed since."""
    node.head()
    seq = node.catalogue.records_of(Kind.CHECKPOINT)[-1]
    record = node.journal.read(seq)
    body = json.loads(record.payload)["body"].split("\n")
    body[2] = "A" * 43 + "="
    payload = json.dumps({"body": "\n".join(body)}).encode()
    node.journal.append([Draft(Kind.CHECKPOINT, record.provenance, payload)]).result()


def change_key(node: Node) -> None:
    """Another segment key: the whole log has other leaves than those that were sealed."""
    node.clock.set("2026-03-02T00:15:00")
    node.seal()
    path = SegmentKeys(node.root / "keys").path(0)
    path.write_bytes(key_file(0, bytes(32)))
    node.restart()


@pytest.mark.parametrize(
    ("damage", "code"), [(change_head, "HEAD_ROOT"), (change_key, "AUDITED_ROOT")]
)
def test_a_log_that_is_not_what_was_stated_fails_and_its_seal_says_so(
    node: Node, clock: Clock, damage: Callable[[Node], None], code: str
) -> None:
    node.anchor("00000000000a")
    damage(node)
    clock.set("2026-03-03T00:15:00")
    attested = node.seal()[-1]
    assert attested.appraisal.outcome.value == "FAIL"
    assert [reason.code for reason in attested.appraisal.reasons] == [code]
    view = node.root_of("2026-03-02")
    assert (view["sealed"], view["verified"]) == (True, False)


def test_a_catalogue_that_misleads_overlooks_no_seal(node: Node, clock: Clock) -> None:
    """As one does in which a byte turned: a day that seems not to be sealed would be again."""
    node.anchor("00000000000a")
    clock.set("2026-03-02T00:15:00")
    node.seal()

    class Damaged(Catalogue):
        def records_of(self, *_: Any, **__: Any) -> list[int]:
            return [0]

    with Damaged.open(None, node.journal) as damaged:
        seals = Seals(node.journal, damaged, TENANT)
        with pytest.raises(JournalError) as refused:
            seals.all()
    assert refused.value.code == "CATALOGUE_FAILED"


def test_asked_by_hand_it_checks_the_log_and_seals_nothing_that_is_not_due(
    node: Node, clock: Clock
) -> None:
    node.anchor("00000000000a")
    node.head()
    assert node.audit.is_first()
    (attested,) = node.pipeline.run(node.audit, appraise_audit)
    assert not node.audit.is_first()
    assert attested.appraisal.outcome.value == "PASS"
    assert attested.appraisal.subject == ""
    assert node.days.last_sealed() is None
    day = node.root_of("2026-03-01")
    assert (day["sealed"], day["count"]) == (False, 2)
    clock.set("2026-03-02T00:15:00")
    node.seal()
    assert node.root_of("2026-03-01")["root"] == day["root"]
    assert node.days.last_sealed() == "2026-03-01"


def test_only_the_tenants_own_anchors_are_in_its_days(node: Node, clock: Clock) -> None:
    node.anchor("00000000000a")
    node.anchor("00000000000b", tenant="OTHER")
    clock.set("2026-03-02T00:15:00")
    node.seal()
    assert node.root_of("2026-03-01")["count"] == 1
    assert node.days.proof("00000000000b") is None


def test_an_anchor_of_the_running_day_is_proved_under_the_root_so_far(node: Node) -> None:
    node.anchor("00000000000a")
    node.head()
    first = node.days.proof("00000000000a")
    node.anchor("00000000000b")
    second = node.days.proof("00000000000b")
    assert first is not None
    assert second is not None
    for proof in (first, second):
        assert proves(proof)
        assert proof["day"]["sealed"] is False
    assert first["root"] != second["root"] == node.root_of("2026-03-01")["root"]
    record_proof = decode_proof(first["record_proof"].encode())
    assert record_proof.record.seq == first["record"]
    assert isinstance(record_proof.record.provenance, bytes)  # its digest: who sent it is not told
    assert node.days.proof("0000000000ff") is None


def test_days_survive_a_lost_evidence_store(node: Node, clock: Clock) -> None:
    node.anchor("00000000000a")
    clock.set("2026-03-02T00:15:00")
    node.seal()
    view = node.root_of("2026-03-01")
    for file in (node.root / "evidence").iterdir():
        file.unlink()
    node.restart()
    assert node.root_of("2026-03-01") == view


def test_what_is_under_way_ends_when_the_agent_stops(node: Node) -> None:
    for number in range(3):
        node.anchor(f"{number:012x}")
    node.audit.stop()
    with pytest.raises(JournalError) as stopped:
        node.audit.collect()
    assert (stopped.value.code, stopped.value.retryable) == ("STOPPING", True)
    assert node.found == []
