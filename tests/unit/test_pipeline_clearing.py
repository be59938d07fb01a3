"""The agent's own anchors at every level: what the log keeps, what custody gets, who signs."""

import hmac
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from swt3_agent import pipeline
from swt3_agent.errors import JournalError
from swt3_agent.pipeline import Attestation, Minter, Pipeline
from swt3_agent.protocol.appraisal import Appraisal, Outcome
from swt3_agent.protocol.custody import CustodyEntry
from swt3_agent.protocol.evidence import Evidence, Reading, RootOfTrust
from swt3_agent.protocol.record import Kind
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.journal import Journal
from swt3_agent.store.state import StateDirectory

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "clearing.json").read_text())
OWN = {"AI-HW.1", "AI-HW.3", "AI-MDL.5", "AI-MDL.6", "AI-MDL.7", "AI-ENV.1", "AI-ENV.2"}


@dataclass
class Shelf:
    """Custody that remembers how far the log was when it was given something."""

    journal: Journal
    entries: list[CustodyEntry] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    fails_with: JournalError | None = None
    hangs: bool = False

    def put(self, entries: Sequence[CustodyEntry]) -> "Future[None]":
        self.entries += entries
        self.sizes.append(self.journal.size)
        future: Future[None] = Future()
        if self.hangs:
            return future
        if self.fails_with is None:
            future.set_result(None)
        else:
            future.set_exception(self.fails_with)
        return future


@dataclass
class Source:
    name: str = "source"
    interval_s: float = 60.0
    timeout_s: float = 30.0

    def collect(self) -> Reading:
        return Evidence("source", RootOfTrust.SELF_REPORTED, {})


@dataclass
class Node:
    journal: Journal
    evidence: EvidenceStore
    shelf: Shelf

    def mint(self, appraisal: Appraisal, minter: Minter) -> Attestation:
        runner = Pipeline(minter, self.journal, self.evidence, self.shelf)
        (attestation,) = runner.run(Source(), lambda _: (appraisal,))
        return attestation

    def record(self, attestation: Attestation) -> tuple[dict[str, Any], dict[str, Any]]:
        record = self.journal.read(attestation.record)
        assert record.kind is Kind.MINTED
        return json.loads(record.payload), json.loads(record.provenance)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with StateDirectory.open(tmp_path / "state") as state:
        layout = state.layout
        with Journal.open(layout.journal, layout.keys) as journal:
            yield Node(journal, EvidenceStore(layout.evidence), Shelf(journal))


def appraisal_of(given: dict[str, Any]) -> Appraisal:
    return Appraisal(
        collector="source",
        subject="subject",
        outcome=Outcome.PASS,
        root_of_trust=RootOfTrust.SELF_REPORTED,
        procedure_id=given["procedure_id"],
        factors=(given["factor_a"], given["factor_b"], given["factor_c"]),
        reasons=(),
        model_id=given.get("ai_model_id"),
        context=given.get("ai_context", {}),
    )


@pytest.mark.parametrize("case", [c for c in VECTORS["cases"] if c["procedure"] in OWN])
@pytest.mark.parametrize("level", range(4))
def test_every_own_kind_has_the_known_fields(node: Node, case: dict[str, Any], level: int) -> None:
    given = json.loads(case["input"])
    minter = Minter(VECTORS["tenant"], level, given["agent_id"])
    payload, provenance = node.record(node.mint(appraisal_of(given), minter))
    expected = json.loads(case["levels"][level]["output"])
    for name in ("anchor_fingerprint", "anchor_epoch", "fingerprint_timestamp_ms"):
        expected[name] = payload[name]
    assert payload == expected | {"clearing_level": level}
    assert (provenance["declared_level"], provenance["applied_level"]) == (level, level)
    assert ("original" in provenance) == (level >= 2) == bool(node.shelf.entries)


HARDWARE = json.loads(
    next(case["input"] for case in VECTORS["cases"] if case["procedure"] == "AI-HW.1")
)


def test_custody_has_what_was_removed_before_the_log_has_the_rest(node: Node) -> None:
    attestation = node.mint(appraisal_of(HARDWARE), Minter("LOCAL", 3, None))
    payload, provenance = node.record(attestation)
    (entry,) = node.shelf.entries
    assert node.shelf.sizes == [attestation.record]
    original = json.loads(entry.original)
    assert original["ai_context"] == HARDWARE["ai_context"]
    assert {**payload, **original} == original
    assert hmac.digest(entry.secret, entry.original, "sha256").hex() == provenance["original"]
    assert entry.cleared == node.journal.read(attestation.record).payload


def test_a_custody_that_hangs_holds_nobody_up_for_ever(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "CUSTODY_WITHIN_S", 0.01)
    node.shelf.hangs = True
    with pytest.raises(JournalError) as raised:
        node.mint(appraisal_of(HARDWARE), Minter("LOCAL", 2, None))
    assert raised.value.code == "CUSTODY_STALLED"
    assert [record.kind for record in node.journal.scan(0)] == [Kind.EVIDENCE]


def test_nothing_is_minted_that_custody_cannot_take(node: Node) -> None:
    node.shelf.fails_with = JournalError("CUSTODY_FULL", "full", remedy="make room", retryable=True)
    with pytest.raises(JournalError, match="full"):
        node.mint(appraisal_of(HARDWARE), Minter("LOCAL", 2, None))
    assert Kind.MINTED not in {record.kind for record in node.journal.scan(0)}
    node.mint(appraisal_of(HARDWARE), Minter("LOCAL", 1, None))  # needs no custody


def test_labels_are_on_every_anchor_at_every_level(node: Node) -> None:
    labels = {"jurisdiction": "DE", "policy_version_hash": "0b6f04241d23"}
    for level in range(4):
        minter = Minter("LOCAL", level, "node-7", labels)
        payload, _ = node.record(node.mint(appraisal_of(HARDWARE), minter))
        assert labels.items() <= payload.items()


def test_a_key_signs_the_fingerprint_for_the_agent(node: Node) -> None:
    signed: list[tuple[str, str | None]] = []

    def sign(fingerprint: str, agent_id: str | None) -> dict[str, object]:
        signed.append((fingerprint, agent_id))
        return {"payload_signature": "ab" * 32, "signing_algorithm": "hmac-sha256"}

    minter = Minter("LOCAL", 3, "node-7", sign=sign)
    attestation = node.mint(appraisal_of(HARDWARE), minter)
    payload, _ = node.record(attestation)
    assert signed == [(attestation.fingerprint, "node-7")]
    assert (payload["payload_signature"], payload["signing_algorithm"]) == (
        "ab" * 32,
        "hmac-sha256",
    )


@pytest.mark.parametrize(("level", "latency"), [(2, 1234), (3, 2000)])
def test_a_latency_is_coarse_at_level_3_in_the_answer_too(
    node: Node, level: int, latency: int
) -> None:
    timed = replace(appraisal_of(HARDWARE), procedure_id="AI-INF.2", factors=(30_000, 1234, 0))
    attestation = node.mint(timed, Minter("LOCAL", level, None))
    payload, _ = node.record(attestation)
    assert payload["factor_b"] == latency
    assert attestation.appraisal.factors == (30_000, latency, 0)
