"""Bundles of a daemon that is killed, stopped and asked while it does not run."""

from pathlib import Path
from typing import Any

from swt3_agent.config import load_config
from swt3_agent.daemon.node import Node
from swt3_agent.tpm.software import SoftwareTpm
from tests.support.agent import AgentProcess
from tests.support.anchors import inference_anchor
from tests.support.bundles import judged, trust_in


def exported(agent: AgentProcess, room: Path, name: str, *arguments: str) -> bytes:
    done = agent.cli("export", str(room / name), *arguments)
    assert done.returncode == 0, done.stderr
    return (room / name).read_bytes()


def trust_of(room: Path, tcti: str) -> bytes:
    """Of whoever enrolled the node while its agent does not run."""
    settings = {"SWT3_STATE_DIR": str(room / "state"), "SWT3_TPM_TCTI": tcti}
    with Node(load_config(settings)) as node:
        return trust_in(node)


def steps(agent: AgentProcess) -> list[str]:
    records: list[dict[str, Any]] = agent.records()
    return [r["payload"]["reason"] for r in records if r["kind"] == "counter-intent"]


def test_a_daemon_that_is_killed_leaves_a_log_that_holds_together(
    swtpm: SoftwareTpm, room: Path
) -> None:
    agent = AgentProcess(room, swtpm.tcti)
    with agent:
        agent.submit(1, inference_anchor("LOCAL", clearing_level=3))
        agent.await_log("ready")
        agent.kill()
        agent.start()
        agent.submit(2, inference_anchor("LOCAL", clearing_level=3))
        first = exported(agent, room, "running.tar")
        agent.stop()
    second = exported(agent, room, "stopped.tar")
    whole = exported(agent, room, "whole.tar", "--from", "0")
    trust = trust_of(room, swtpm.tcti)
    for bundle in (first, second, whole):
        report = judged(bundle, trust)
        assert report.code == "VERIFIED", report.render()
    report = judged(whole, trust)
    assert report.history is not None
    codes = [found.code for found in report.history.irregularities]
    taken = report.history.counter.steps
    assert steps(agent)[-1] == "stop"
    assert taken + codes.count("COUNTER_OPEN") == len(steps(agent))  # one may have been killed
    assert taken >= 2
