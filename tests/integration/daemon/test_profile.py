"""A daemon that holds to a profile."""

from pathlib import Path
from typing import Any

from tests.support.agent import AgentProcess, IntakeConnection
from tests.support.anchors import submission
from tests.support.ops import Ops
from tests.support.software_tpm import short_directory


def states(agent: AgentProcess) -> dict[str, str]:
    coverage: dict[str, Any] = agent.json("status")["coverage"]
    return {one["procedure_id"]: one["state"] for one in coverage["procedures"]}


def test_coverage_grows_with_what_is_witnessed_and_decides_readiness() -> None:
    environment = {
        "SWT3_PROFILE": "nist-ai-rmf",
        "SWT3_AGENT_ID": "node",
        "SWT3_TENANT_ID": "LOCAL",
    }
    with short_directory() as room, AgentProcess(room, **environment) as agent:
        required = dict.fromkeys(("AI-INF.1", "AI-GRD.1", "AI-MDL.1"), "missing")
        assert states(agent) == required
        with IntakeConnection(agent.intake) as intake:
            assert intake.ask(submission(1, batch=1))["ok"]
        assert states(agent) == {**required, "AI-INF.1": "fresh"}
        assert "1 of 3 that profile nist-ai-rmf requires" in agent.cli("status").stdout
        metrics = Ops(agent).ask("/metrics")[2].decode()
        assert 'swt3_profile_procedures{state="missing"} 2.0' in metrics
        assert "swt3_profile_coverage_ratio 0.33" in metrics
        Ops(agent).await_reasons({"COVERAGE_MISSING"})
        agent.stop()
        assert states(agent) == {**required, "AI-INF.1": "fresh"}


def test_a_daemon_that_lacks_what_its_profile_demands_does_not_start(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path, SWT3_PROFILE="eu-ai-act-high-risk")
    for verb in ("run", "attest"):
        refused = agent.cli(verb)
        assert refused.returncode == 78
        assert "signing_key is missing" in refused.stderr
    assert not agent.state_dir.exists()


def test_verbs_that_look_need_no_secrets(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(
        "tenant_id: LOCAL\nsigning_key_env: KEY_OF_TEST\npolicy: {require_signing: true}\n"
    )
    signing = {"KEY_OF_TEST": "0123456789abcdef0123456789abcdef"}
    with AgentProcess(tmp_path, arguments=("--config", str(file)), **signing) as agent:
        del agent.environment["KEY_OF_TEST"]
        assert agent.json("status", "--config", str(file))["running"] is True
        assert agent.json("attest", "host", "--config", str(file))
