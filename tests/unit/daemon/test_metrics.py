"""Metrics have the names and labels that are documented, whatever clients call procedures."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from swt3_agent.config import load_config
from swt3_agent.daemon.families import FAMILIES
from swt3_agent.daemon.metrics import registry
from swt3_agent.daemon.node import Node
from swt3_agent.protocol.catalogue import CATALOGUE
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.store.journal import Draft
from tests.support.anchors import inference_anchor

HOSTILE = [f'EVIL-X{n}"}} 1\n# {{le="{n}.1' for n in range(50)]


@pytest.fixture(params=[1, 3])
def scraped(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CollectorRegistry]:
    environment = {
        "SWT3_STATE_DIR": str(tmp_path / "state"),
        "SWT3_TPM_TCTI": "none",
        "SWT3_CLEARING_LEVEL": str(request.param),
    }
    with Node(load_config(environment)) as node:
        node.attest()
        anchors = [inference_anchor(procedure_id=name) for name in ["AI-INF.1", *HOSTILE]]
        payloads = [msgspec.json.encode(anchor) for anchor in anchors]
        drafts = [Draft(Kind.RELAYED, b"{}", payload) for payload in payloads]
        node.journal.append(drafts).result()
        yield registry(node, [IntakeCounters()])


Encode = Callable[[CollectorRegistry], bytes]
Parse = Callable[[str], Iterable[Metric]]
FORMATS: list[tuple[Encode, Parse]] = [
    (generate_latest, parse),
    (openmetrics.generate_latest, parse_openmetrics),
]


@pytest.mark.parametrize(("encode", "parse"), FORMATS, ids=["prometheus", "openmetrics"])
def test_what_is_told_is_well_formed_documented_and_bounded(
    scraped: CollectorRegistry, encode: Encode, parse: Parse
) -> None:
    text = encode(scraped).decode()
    assert "EVIL" not in text
    samples = [sample for family in parse(text) for sample in family.samples]
    told = [sample for sample in samples if not sample.name.startswith("swt3_agent_process_")]
    assert len(told) > 20
    for sample in told:
        assert set(sample.labels) <= set(FAMILIES[sample.name].labels)
        procedure = sample.labels.get("procedure", "other")
        assert procedure == "other" or procedure in CATALOGUE


def test_every_procedure_that_no_catalogue_knows_is_counted_as_one(
    scraped: CollectorRegistry,
) -> None:
    samples = [s for family in scraped.collect() for s in family.samples]
    told = {
        tuple(sorted(sample.labels.items())): sample.value
        for sample in samples
        if sample.name == "swt3_witness_total" and sample.labels["verdict"] == "relayed"
    }
    others = told.get((("procedure", "other"), ("verdict", "relayed")))
    assert others == 50 if others is not None else told == {(("verdict", "relayed"),): 51}
