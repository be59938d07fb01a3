"""The pipeline over a real journal, with a weights collector that never ends in time."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from swt3_agent.collect.weights import ModelSpec
from swt3_agent.daemon.collectors import unread_models
from swt3_agent.pipeline import Minter, Pipeline
from swt3_agent.protocol.appraisal import appraise_weights
from swt3_agent.protocol.evidence import Evidence, Reading, RootOfTrust
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.journal import Journal
from swt3_agent.store.state import StateDirectory

MODELS = [
    ModelSpec("approved", Path("/models/a"), "a" * 64),
    ModelSpec("watched", Path("/models/b")),
]


class Endless:
    """Stands for storage that does not answer."""

    name = "weights"
    interval_s = 60.0
    timeout_s = 0.01

    def __init__(self) -> None:
        self.release = threading.Event()

    def collect(self) -> Reading:
        self.release.wait(60)
        return Evidence(self.name, RootOfTrust.FILE_CONTENT, {})


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with StateDirectory.open(tmp_path / "state") as state:
        layout = state.layout
        with Journal.open(layout.journal, layout.keys) as journal:
            yield Pipeline(Minter("LOCAL", 3, None), journal, EvidenceStore(layout.evidence))


def test_an_approved_model_that_is_not_read_in_time_fails(pipeline: Pipeline) -> None:
    weights = Endless()
    try:
        for code in ("COLLECTOR_TIMEOUT", "COLLECTOR_BUSY"):
            approved, watched = pipeline.run(weights, appraise_weights, unread_models(MODELS))
            assert (approved.appraisal.subject, watched.appraisal.subject) == (
                "approved",
                "watched",
            )
            assert approved.appraisal.outcome.value == "FAIL"
            assert approved.appraisal.factors == (1, 0, 0)
            assert approved.appraisal.reasons[0].code == code
            assert watched.appraisal.outcome.value == "NOT_COMPARED"
    finally:
        weights.release.set()
