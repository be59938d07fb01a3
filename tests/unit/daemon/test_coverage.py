import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swt3_agent.config import Config, load_config
from swt3_agent.daemon.coverage import Coverage, State, coverage_of, coverage_view, longest_age_s
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Draft, Journal

DAY_MS = 86_400_000


class Log:
    """A journal and its catalogue, with anchors put by procedure."""

    def __init__(self, journal: Journal, catalogue: Catalogue) -> None:
        self._journal = journal
        self._catalogue = catalogue

    def put(self, procedure: str, *, own: bool = False, tenant: str = "LOCAL") -> None:
        said = {"listener": "agent", "verdict": "FAIL"} if own else {"listener": "intake"}
        provenance = {**said, "tenant": tenant}
        payload = {"procedure_id": procedure, "anchor_fingerprint": "c059eb5938c0"}
        kind = Kind.MINTED if own else Kind.RELAYED
        drafted = Draft(kind, json.dumps(provenance).encode(), json.dumps(payload).encode())
        self._journal.append([drafted]).result()

    def covered(self, config: Config, later_ms: int = 0) -> Coverage:
        now_ms = time.time_ns() // 1_000_000 + later_ms
        return coverage_of(config, self._journal, self._catalogue, now_ms)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    for name in ("journal", "keys"):
        (tmp_path / name).mkdir()
    with (
        Journal.open(tmp_path / "journal", tmp_path / "keys") as journal,
        Catalogue.open(None, journal) as catalogue,
    ):
        yield Log(journal, catalogue)


def requiring(tmp_path: Path, *procedures: str) -> Config:
    file = tmp_path / "agent.yaml"
    file.write_text(f"policy: {{required_procedures: [{', '.join(procedures)}]}}\n")
    return load_config({}, file)


def states(covered: Coverage) -> dict[str, str]:
    return {one.procedure: one.state.value for one in covered.procedures}


def test_where_nothing_is_required_nothing_lacks(log: Log) -> None:
    covered = log.covered(load_config({}))
    assert (covered.required, covered.ratio) == (0, None)


def test_what_was_witnessed_is_fresh_and_what_was_not_is_missing(log: Log, tmp_path: Path) -> None:
    config = requiring(tmp_path, "AI-INF.1", "AI-DRIFT.1", "AI-REDTEAM.1")
    log.put("AI-INF.1")
    log.put("AI-REDTEAM.1")
    covered = log.covered(config)
    assert states(covered) == {
        "AI-INF.1": "fresh",
        "AI-DRIFT.1": "missing",
        "AI-REDTEAM.1": "fresh",
    }
    assert covered.ratio == pytest.approx(2 / 3)
    assert covered.missing == ("AI-DRIFT.1",)


def test_each_goes_stale_after_its_own_cadence(log: Log, tmp_path: Path) -> None:
    config = requiring(tmp_path, "AI-INF.1", "AI-AUDIT.1", "AI-REDTEAM.1", "AI-HW.1")
    for procedure in ("AI-INF.1", "AI-AUDIT.1", "AI-REDTEAM.1"):
        log.put(procedure)
    log.put("AI-HW.1", own=True)
    assert log.covered(config).ratio == 1
    assert log.covered(config, 2 * 3_600_000).stale == ("AI-HW.1",)
    assert log.covered(config, DAY_MS + 3_600_000).stale == ("AI-INF.1", "AI-HW.1")
    assert log.covered(config, 2 * DAY_MS).stale == ("AI-INF.1", "AI-AUDIT.1", "AI-HW.1")
    assert log.covered(config, 91 * DAY_MS).fresh == 0


def test_the_newest_anchor_counts(log: Log, tmp_path: Path) -> None:
    config = requiring(tmp_path, "AI-INF.1")
    log.put("AI-INF.1")
    first = log.covered(config).procedures[0].last_ms
    log.put("AI-INF.1")
    last = log.covered(config).procedures[0].last_ms
    assert first is not None
    assert last is not None
    assert last >= first


def test_no_client_vouches_for_the_hardware(log: Log, tmp_path: Path) -> None:
    config = requiring(tmp_path, "AI-HW.3")
    log.put("AI-HW.3")
    assert states(log.covered(config)) == {"AI-HW.3": "missing"}
    log.put("AI-HW.3", own=True)
    log.put("AI-HW.3")
    assert states(log.covered(config)) == {"AI-HW.3": "fresh"}


def test_another_tenant_vouches_for_nothing_here(log: Log, tmp_path: Path) -> None:
    config = requiring(tmp_path, "AI-INF.1")
    log.put("AI-INF.1", tenant="NEIGHBOUR")
    assert states(log.covered(config)) == {"AI-INF.1": "missing"}
    log.put("AI-INF.1")
    fresh = log.covered(config)
    log.put("AI-INF.1", tenant="NEIGHBOUR")
    assert log.covered(config).procedures[0].last_ms == fresh.procedures[0].last_ms


def test_what_was_witnessed_before_the_clock_was_set_back_goes_stale(
    log: Log, tmp_path: Path
) -> None:
    config = requiring(tmp_path, "AI-INF.1")
    log.put("AI-INF.1")
    assert log.covered(config, -3_600_000).fresh == 1
    assert log.covered(config, -400 * DAY_MS).stale == ("AI-INF.1",)


def test_what_only_an_event_brings_about_is_awaited_and_never_stale(
    log: Log, tmp_path: Path
) -> None:
    config = requiring(tmp_path, "AI-INCIDENT.1", "AI-INF.1")
    log.put("AI-INF.1")
    covered = log.covered(config)
    assert covered.named(State.AWAITED) == ("AI-INCIDENT.1",)
    assert covered.ratio == 1
    log.put("AI-INCIDENT.1")
    assert states(log.covered(config, 400 * DAY_MS))["AI-INCIDENT.1"] == "fresh"


def test_what_the_catalogue_does_not_know_is_expected_as_inference_is(tmp_path: Path) -> None:
    required = requiring(tmp_path, "XX-YY.1").required
    assert longest_age_s("XX-YY.1", required) == required.cadence.inference


def test_the_view_says_of_each_when_it_was_and_within_what(log: Log, tmp_path: Path) -> None:
    config = requiring(tmp_path, "AI-INF.1")
    view = coverage_view(log.covered(config))
    assert view["procedures"] == [
        {"procedure_id": "AI-INF.1", "state": "missing", "last": None, "within_s": 86_400}
    ]
    assert (view["profile"], view["required"], view["fresh"], view["ratio"]) == (None, 1, 0, 0)
