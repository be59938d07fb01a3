"""The pipeline over a real journal; the collectors are the test's own, as any source may be one."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.errors import JournalError
from swt3_agent.pipeline import Attestation, Minter, Pipeline
from swt3_agent.protocol.appraisal import (
    Appraisal,
    Outcome,
    appraise_host,
    appraise_platform,
    appraise_weights,
)
from swt3_agent.protocol.evidence import Evidence, Lack, Reading, RootOfTrust, Unavailable
from swt3_agent.protocol.fingerprint import mint_fingerprint
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.unique_time import UniqueMilliseconds
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.journal import Journal
from swt3_agent.store.state import StateDirectory

NO_TPM = Unavailable("platform", Lack.DENIED, "TPM_DENIED", "may not", "join group tss")


@dataclass
class Source:
    """A collector that gives what the test wants."""

    read: Callable[[], Reading]
    name: str = "source"
    interval_s: float = 60.0
    timeout_s: float = 30.0
    calls: list[int] = field(default_factory=list)

    def collect(self) -> Reading:
        self.calls.append(1)
        return self.read()


@dataclass
class Node:
    journal: Journal
    evidence: EvidenceStore
    directory: Path

    def run(
        self,
        source: Source,
        appraise: Callable[[Reading], Any],
        level: int = 3,
        agent_id: str | None = None,
    ) -> tuple[Attestation, ...]:
        pipeline = Pipeline(Minter("LOCAL", level, agent_id), self.journal, self.evidence)
        return pipeline.run(source, lambda reading: _tuple(appraise(reading)))

    def payload(self, seq: int) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(self.journal.read(seq).payload)
        return payload


def _tuple(appraised: Appraisal | tuple[Appraisal, ...]) -> tuple[Appraisal, ...]:
    return appraised if isinstance(appraised, tuple) else (appraised,)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with StateDirectory.open(tmp_path / "state") as state:
        layout = state.layout
        with Journal.open(layout.journal, layout.keys) as journal:
            yield Node(journal, EvidenceStore(layout.evidence), layout.evidence)


def host() -> Evidence:
    return Evidence("host", RootOfTrust.SELF_REPORTED, {"kernel": "6.1"})


def weights(approved: str | None) -> Evidence:
    model = {"name": "m", "digest": "a" * 64, "files": 1, "bytes": 1, "approved": approved}
    claims = {"models": [{**model, "problems": []}]}
    return Evidence("weights", RootOfTrust.FILE_CONTENT, claims)


def test_evidence_is_recorded_by_digest_and_kept_in_full(node: Node) -> None:
    (attestation,) = node.run(Source(host), appraise_host)
    assert attestation.appraisal.outcome is Outcome.RECORDED
    assert (attestation.fingerprint, attestation.token) == (None, None)
    payload = node.payload(attestation.evidence_record)
    (file,) = [path for path in node.directory.rglob("*") if path.is_file()]
    raw = file.read_bytes()
    assert payload["digest"] == hashlib.sha256(raw).hexdigest()
    assert payload["size"] == len(raw)
    assert json.loads(raw)["claims"] == {"kernel": "6.1"}
    assert "kernel" not in json.dumps(payload)


def test_a_procedure_without_a_rule_is_never_minted(node: Node) -> None:
    unjudged = Appraisal(
        collector="source",
        subject="",
        procedure_id="AI-PERF.1",
        factors=(1, 1, 0),
        outcome=Outcome.PASS,
        root_of_trust=RootOfTrust.SELF_REPORTED,
        reasons=(),
    )
    (attestation,) = node.run(Source(host), lambda _: unjudged)
    assert (attestation.fingerprint, attestation.token) == (None, None)
    assert attestation.record == attestation.evidence_record


def test_a_failed_claim_is_minted_with_its_reason_and_refers_to_its_evidence(node: Node) -> None:
    (attestation,) = node.run(Source(lambda: NO_TPM), appraise_platform)
    record = node.journal.read(attestation.record)
    assert record.kind is Kind.MINTED
    provenance = json.loads(record.provenance)
    assert provenance["verdict"] == "FAIL"
    assert provenance["reasons"] == ["TPM_DENIED"]
    assert provenance["evidence"] == attestation.evidence_record
    assert provenance["token"] == attestation.token
    payload = node.payload(attestation.record)
    assert payload["anchor_fingerprint"] == mint_fingerprint(
        "LOCAL", "AI-HW.3", 0, 0, 0, payload["fingerprint_timestamp_ms"]
    )
    lack = node.payload(attestation.evidence_record)
    assert (lack["lack"], lack["code"], lack["root_of_trust"]) == ("denied", "TPM_DENIED", None)


def test_what_could_not_be_compared_is_recorded_and_never_minted(node: Node) -> None:
    (attestation,) = node.run(Source(lambda: weights(None)), appraise_weights)
    assert attestation.appraisal.outcome is Outcome.NOT_COMPARED
    assert attestation.record == attestation.evidence_record
    assert [record.kind for record in node.journal.scan(0)] == [Kind.EVIDENCE]


@pytest.mark.parametrize(("level", "has_context"), [(0, True), (1, True), (2, False), (3, False)])
def test_an_anchor_carries_no_more_than_its_level_allows(
    node: Node, level: int, has_context: bool
) -> None:
    (attestation,) = node.run(Source(lambda: weights("a" * 64)), appraise_weights, level, "node-7")
    payload = node.payload(attestation.record)
    assert payload["clearing_level"] == level
    assert ("ai_context" in payload) is has_context
    assert payload["agent_id"] == "node-7"


def test_a_collector_that_raises_has_failed_and_harms_nobody(node: Node) -> None:
    def fault() -> Reading:
        raise RuntimeError("driver on fire")

    (attestation,) = node.run(Source(fault), appraise_platform)
    assert attestation.appraisal.outcome is Outcome.FAIL
    (reason,) = attestation.appraisal.reasons
    assert reason.code == "COLLECTOR_FAILED"
    assert "driver on fire" in reason.detail


def pipeline_over(node: Node) -> Pipeline:
    return Pipeline(Minter("LOCAL", 3, None), node.journal, node.evidence)


def test_a_collector_that_hangs_is_busy_and_not_started_twice(node: Node) -> None:
    release = threading.Event()

    def hang() -> Reading:
        release.wait(30)
        return host()

    source = Source(hang, timeout_s=0.05)
    pipeline = pipeline_over(node)
    try:
        codes = [
            pipeline.run(source, lambda reading: (appraise_platform(reading),))[0]
            .appraisal.reasons[0]
            .code
            for _ in range(2)
        ]
    finally:
        release.set()
    assert codes == ["COLLECTOR_TIMEOUT", "COLLECTOR_BUSY"]
    assert len(source.calls) == 1


def test_who_asks_while_a_collector_runs_gets_a_reading_of_his_own(node: Node) -> None:
    """Not BUSY: that the agent itself is in the way says nothing about the node."""
    started, release = threading.Event(), threading.Event()

    def slow() -> Reading:
        started.set()
        release.wait(30)
        return host()

    source = Source(slow)
    pipeline = pipeline_over(node)
    with ThreadPoolExecutor(2) as asking:
        runs = [asking.submit(pipeline.run, source, lambda r: (appraise_host(r),))]
        assert started.wait(30)
        runs.append(asking.submit(pipeline.run, source, lambda r: (appraise_host(r),)))
        release.set()
        outcomes = [run.result(30)[0].appraisal for run in runs]
    assert [appraisal.reasons for appraisal in outcomes] == [(), ()]
    assert len(source.calls) == 2


def test_a_stop_waits_for_no_reading_and_records_none_after_it(node: Node) -> None:
    started, release = threading.Event(), threading.Event()

    def hash_for_hours() -> Reading:
        started.set()
        release.wait(30)
        return host()

    source = Source(hash_for_hours, timeout_s=30.0)
    pipeline = pipeline_over(node)
    with ThreadPoolExecutor(1) as asking:
        run = asking.submit(pipeline.run, source, lambda r: (appraise_host(r),))
        try:
            assert started.wait(30)
            pipeline.stop()
            under_way = run.exception(20)
        finally:
            release.set()
    assert isinstance(under_way, JournalError)
    assert under_way.code == "STOPPING"
    with pytest.raises(JournalError, match="stopping"):
        pipeline.run(Source(host, name="other"), lambda r: (appraise_host(r),))
    assert node.journal.size == 0


def test_evidence_that_cannot_be_kept_is_a_failure_that_can(node: Node) -> None:
    beyond_json = Evidence("source", RootOfTrust.SELF_REPORTED, {"inode": 2**60})
    (attestation,) = node.run(Source(lambda: beyond_json), appraise_platform)
    assert [reason.code for reason in attestation.appraisal.reasons] == ["EVIDENCE_MALFORMED"]
    assert node.payload(attestation.evidence_record)["code"] == "EVIDENCE_MALFORMED"


def test_time_stamps_never_repeat_for_equal_factors() -> None:
    clock = UniqueMilliseconds(now_ns=lambda: 5_000_000)
    assert [clock.next("a"), clock.next("a"), clock.next("b"), clock.next("a")] == [5, 6, 5, 7]


def test_what_claims_were_read_from_is_kept_by_digest_and_named_by_the_record(node: Node) -> None:
    log, quote = b"the firmware's log", b"{}"
    evidence = Evidence(
        "platform",
        RootOfTrust.SELF_REPORTED,
        {"one": 1},
        attachments={"boot-log": log, "quote": quote},
    )
    source = Source(lambda: evidence)
    first, again = (node.run(source, appraise_host)[0].evidence_record for _ in range(2))
    payload = node.payload(first)
    assert payload["attachments"] == {
        "boot-log": {"digest": hashlib.sha256(log).hexdigest(), "size": len(log)},
        "quote": {"digest": hashlib.sha256(quote).hexdigest(), "size": len(quote)},
    }
    assert node.evidence.get(payload["attachments"]["boot-log"]["digest"]) == log
    raw = json.loads(node.evidence.get(payload["digest"]))
    assert raw["attachments"] == payload["attachments"]
    assert node.payload(again)["attachments"] == payload["attachments"]
    assert len(list(node.directory.iterdir())) == 3


def test_a_reading_without_attachments_says_nothing_of_them(node: Node) -> None:
    source = Source(lambda: Evidence("host", RootOfTrust.SELF_REPORTED, {}))
    (attestation,) = node.run(source, appraise_host)
    assert "attachments" not in node.payload(attestation.evidence_record)
