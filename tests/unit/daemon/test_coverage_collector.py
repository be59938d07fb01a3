import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from swt3_agent.config import Config, load_config
from swt3_agent.daemon.coverage_collector import CoverageCollector, watched_coverage
from swt3_agent.protocol.evidence import Evidence
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Draft, Journal


@dataclass(frozen=True)
class Node:
    config: Config
    journal: Journal
    catalogue: Catalogue


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    for name in ("journal", "keys"):
        (tmp_path / name).mkdir()
    file = tmp_path / "agent.yaml"
    file.write_text("policy: {required_procedures: [AI-INF.1, AI-INCIDENT.1, AI-GRD.1]}\n")
    with (
        Journal.open(tmp_path / "journal", tmp_path / "keys") as journal,
        Catalogue.open(None, journal) as catalogue,
    ):
        payload = {"procedure_id": "AI-INF.1", "anchor_fingerprint": "c059eb5938c0"}
        origin = b'{"tenant":"LOCAL"}'
        journal.append([Draft(Kind.RELAYED, origin, json.dumps(payload).encode())]).result()
        yield Node(load_config({}, file), journal, catalogue)


def test_it_counts_what_is_due_and_what_is_fresh(node: Node) -> None:
    reading = CoverageCollector(node, settling_s=0).collect()
    assert isinstance(reading, Evidence)
    assert (reading.claims["due"], reading.claims["fresh"]) == (2, 1)
    assert (reading.claims["days"], reading.claims["settled"]) == (0, True)


def test_after_a_start_it_is_not_settled(node: Node) -> None:
    assert CoverageCollector(node).collect().claims["settled"] is False


def test_a_node_of_which_nothing_is_required_has_none(node: Node) -> None:
    assert [watched.collector.name for watched in watched_coverage(node)] == ["coverage"]
    free = Node(load_config({}), node.journal, node.catalogue)
    assert watched_coverage(free) == ()
