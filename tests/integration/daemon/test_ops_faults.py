"""What the ops socket says while something is broken for real: the truth, and never nothing."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from swt3_agent.config import Config, load_config
from swt3_agent.daemon.lanes import start_delivery, stop_delivery
from swt3_agent.daemon.metrics import registry
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.ops_app import health_view
from swt3_agent.daemon.readiness import unready
from swt3_agent.tpm.software import SoftwareTpm
from tests.support.agent import AgentProcess
from tests.support.anchors import inference_anchor
from tests.support.disks import small_disk
from tests.support.ops import DEADLINE_S, Ops, free_port

HOUR_MS = 3_600_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def settings(room: Path, **environment: str) -> Config:
    return load_config(
        {
            "SWT3_STATE_DIR": str(room / "state"),
            "SWT3_AGENT_SOCKET": str(room / "intake.sock"),
            "SWT3_TPM_TCTI": "none",
            **environment,
        }
    )


def codes(node: Node, at_ms: int) -> set[str]:
    return {reason.code for reason in unready(node, at_ms)}


def test_a_tpm_that_dies_is_a_reason(swtpm: SoftwareTpm, room: Path) -> None:
    config = room / "agent.yaml"
    config.write_text("agent:\n  intervals:\n    checkpoint: 1\n")
    arguments = ["--config", str(config)]
    with AgentProcess(room, swtpm.tcti, arguments=arguments) as agent:
        ops = Ops(agent)
        ops.await_reasons(set())
        swtpm.stop()
        agent.cli("attest", "host")  # something new, for a head to cover
        found = ops.await_any("TPM_")
        assert found["remedy"]
        assert "swt3_ready 0.0" in ops.ask("/metrics")[2].decode()


@pytest.fixture
def disk(room: Path) -> Iterator[Path]:
    with small_disk(room / "disk", "32m") as mounted:
        yield mounted


def test_a_disk_that_fills_is_a_reason_until_there_is_room(disk: Path) -> None:
    ballast = disk / "ballast"
    with AgentProcess(disk) as agent:
        ops = Ops(agent)
        ops.await_reasons(set())
        free = os.statvfs(disk)
        ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - 300_000))
        assert ops.await_any("DISK_NEARLY_FULL")["remedy"]
        ballast.unlink()
        ops.await_reasons(set())


def test_a_custody_that_is_gone_is_a_reason(room: Path) -> None:
    place = room / "vault"
    place.mkdir()
    config = room / "agent.yaml"
    config.write_text(json.dumps({"agent": {"custody": {"path": str(place)}}}))
    with AgentProcess(room, arguments=["--config", str(config)]) as agent:
        ops = Ops(agent)
        ops.await_reasons(set())
        place.rename(room / "elsewhere")
        place.write_text("no directory")
        witness = inference_anchor(clearing_level=1, ai_model_id="a name")
        assert agent.submit(1, witness)["accepted"] == 1
        assert ops.await_any("CUSTODY_")["remedy"]
        assert "swt3_custody_available 0.0" in ops.ask("/metrics")[2].decode()


def test_a_node_that_cannot_look_at_its_state_says_so_on_every_path(room: Path) -> None:
    with AgentProcess(room) as agent:
        ops = Ops(agent)
        ops.await_reasons(set())
        agent.state_dir.rename(room / "moved")
        try:
            assert ops.await_any("SYSTEM")["remedy"]
            status, health = ops.json("/healthz")
            assert (status, health["status"]) == (200, "ok")
            status, _, body = ops.ask("/metrics")
            assert status == 200
            assert b"swt3_ready 0.0" in body
            assert b'swt3_unready{reason="SYSTEM"} 1.0' in body
            assert b"swt3_log_tree_size" in body
        finally:
            (room / "moved").rename(agent.state_dir)
        ops.await_reasons(set())


def test_a_reading_that_is_not_repeated_becomes_a_reason(room: Path) -> None:
    with Node(settings(room)) as node:
        node.attest(["platform", "gpu"])
        assert codes(node, now_ms()) == set()
        assert codes(node, now_ms() + 2 * HOUR_MS) == {"ATTESTATION_STALE"}


def test_a_ledger_that_is_down_for_long_is_a_reason(room: Path) -> None:
    config = settings(
        room,
        SWT3_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        SWT3_API_KEY="axm_test_1",
        SWT3_CLEARING_LEVEL="1",
    )
    with Node(config) as node:
        node.attest(["platform", "gpu"])
        start_delivery(node)
        assert node.delivery is not None
        try:
            deadline = time.monotonic() + DEADLINE_S
            while node.delivery.state.fault is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert codes(node, now_ms()) == set()
            assert "DELIVERY_LATE" in codes(node, now_ms() + 2 * HOUR_MS)
        finally:
            stop_delivery(node)


def test_a_log_that_cannot_be_read_leaves_health_and_metrics(room: Path) -> None:
    config = settings(
        room,
        SWT3_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        SWT3_API_KEY="axm_test_1",
        SWT3_CLEARING_LEVEL="1",
    )
    with Node(config) as node:
        node.attest(["platform"])
        assert health_view(node, discreet=False)["pending"] == 1
    with Node(config) as node:
        for segment in (room / "state" / "journal").iterdir():
            os.truncate(segment, 100)
        assert health_view(node, discreet=False)["pending"] is None
        told = generate_latest(registry(node, [])).decode()
        assert "swt3_ready 0.0" in told
        assert "swt3_disk_free_bytes" in told
