"""The daemon with a GPU driver and a model: every line that `attest` and `status` show of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.cli.demo.model import write_model
from swt3_agent.collect.measure import model_digest
from tests.support.agent import AgentProcess
from tests.support.nvml import build_driver


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    """An agent of a node whose driver reports a DGX H100, with a model and its adapter."""
    model = write_model(tmp_path)
    shard = "model-00001-of-00002.safetensors"
    settings = {
        "gpu": {"library": str(build_driver(tmp_path, machine="dgx-h100"))},
        "models": [
            {
                "name": "demo",
                "path": str(model),
                "approved": model_digest(model),
                "stage": "deployment",
                "files": [{"path": shard, "sha256": "0" * 64}],
                "adapters": [
                    {
                        "name": "polite",
                        "path": "adapters/polite",
                        "approved": model_digest(model / "adapters/polite"),
                    }
                ],
            }
        ],
    }
    config = tmp_path / "agent.yaml"
    config.write_text(json.dumps({"clearing_level": 1, "agent": settings}))
    with AgentProcess(tmp_path, arguments=("--config", str(config))) as running:
        yield running


def test_what_is_collected_is_attested_and_shown(agent: AgentProcess) -> None:
    attested = agent.cli("attest", "gpu", "environment", "weights", "--json")
    assert attested.returncode == 3  # a container shows no bus, and one file is not as approved
    rows: list[dict[str, Any]] = json.loads(attested.stdout)
    told = [
        (
            row["procedure_id"] or row["subject"],
            row["verdict"],
            (row["factor_a"], row["factor_b"], row["factor_c"]),
        )
        for row in rows
    ]
    assert told[1:] == [
        ("nvlink", "RECORDED", (None, None, None)),
        ("AI-ENV.1", "PASS", (59, 85, 1)),
        ("AI-ENV.2", "PASS", (629, 70, 0)),
        ("AI-MDL.1", "PASS", (1, 1, 0)),
        ("AI-MDL.5", "FAIL", (1, 0, 3)),
        ("AI-MDL.6", "PASS", (1, 1, 0)),
        ("AI-MDL.7", "PASS", (1, 1, 2)),
    ]
    assert told[0][0] == "AI-HW.1"
    assert rows[0]["factor_a"] == 8
    assert rows[0]["evidence_record"] == rows[1]["evidence_record"]  # one reading, two lines
    assert len({row["evidence_record"] for row in rows[4:]}) == 1
    minted = {
        record["payload"]["procedure_id"]: record["payload"]
        for record in map(json.loads, agent.cli("log", "--json").stdout.splitlines())
        if record["kind"] == "minted"
    }
    assert minted["AI-MDL.6"]["ai_context"]["adapters"][0]["name"] == "polite"
    assert minted["AI-MDL.7"]["ai_context"]["method"] == "bf16"
    shown = agent.cli("attest", "nvlink", "gpu").stdout  # one reading, asked for by both names
    assert shown.count("AI-HW.1 (") == 1
    assert "RECORDED     gpu nvlink (driver-reported)" in shown
    assert "8 GPUs, NV18 all-to-all through" in shown
    status = agent.cli("status").stdout
    assert "nvlink RECORDED" in status
    assert "AI-ENV.1 PASS, AI-ENV.2 PASS" in status
    assert "AI-MDL.1 PASS, AI-MDL.5 FAIL, AI-MDL.6 PASS, AI-MDL.7 PASS" in status
