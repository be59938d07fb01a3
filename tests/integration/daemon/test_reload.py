"""SIGHUP: a daemon that goes on with new settings, or with those that it had."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swt3_agent.config import load_config
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.schedule import schedule, scheduler_of
from swt3_agent.protocol.fingerprint import mint_fingerprint
from tests.support.agent import AgentProcess, IntakeConnection
from tests.support.anchors import submission_of
from tests.support.ops import Ops


class Configured:
    """A daemon, and the file that it reads."""

    def __init__(self, room: Path) -> None:
        self.file = room / "agent.yaml"
        self.agent = AgentProcess(room, arguments=["--config", str(self.file)])
        self._reloads = 0

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def reload(self) -> str:
        """SIGHUP; what the daemon logged about it."""
        before = len(self.agent.log.read_text())
        self.agent.messages.clear()
        os.kill(self.agent.pid, signal.SIGHUP)
        self.agent.await_message("RELOADING=1\nMONOTONIC_USEC=")
        self.agent.await_message("READY=1")
        return self.agent.log.read_text()[before:]


@pytest.fixture
def configured(room: Path) -> Iterator[Configured]:
    configured = Configured(room)
    configured.write("clearing_level: 1\n")
    with configured.agent:
        yield configured


def witness(number: int) -> dict[str, Any]:
    fingerprint_ms = 1_700_000_000_000 + number
    return {
        "procedure_id": "AI-INF.1",
        "factor_a": 2,
        "factor_b": 2,
        "factor_c": 0,
        "clearing_level": 1,
        "anchor_fingerprint": mint_fingerprint("LOCAL", "AI-INF.1", 2, 2, 0, fingerprint_ms),
        "anchor_epoch": fingerprint_ms // 1000,
        "fingerprint_timestamp_ms": fingerprint_ms,
        "ai_model_id": "plainly-named",
    }


def submit(connection: IntakeConnection, number: int) -> dict[str, Any]:
    answer = connection.ask(submission_of(witness(number), batch=number))
    assert answer["accepted"] == 1, answer
    return answer


def test_a_higher_clearing_level_holds_for_the_next_record_of_an_open_connection(
    configured: Configured,
) -> None:
    agent = configured.agent
    with IntakeConnection(agent.intake) as connection:
        first = submit(connection, 1)["first_seq"]
        configured.write("clearing_level: 3\n")
        assert "event=RELOADED" in configured.reload()
        second = submit(connection, 2)["first_seq"]
    agent.json("attest", "platform")
    records = agent.records()
    assert "plainly-named" in str(records[first])
    assert "plainly-named" not in str(records[second])
    own = [record for record in records if "AI-HW.3" in str(record)]
    assert "'clearing_level': 3" in str(own[-1])
    assert agent.json("status")["clearing_level"] == 3


def test_settings_that_are_not_valid_leave_those_before_in_force(configured: Configured) -> None:
    configured.write("clearing_level: 7\n")
    told = configured.reload()
    assert "event=RELOAD_REFUSED" in told
    assert "remedy=" in told
    assert configured.agent.json("status")["clearing_level"] == 1


def test_what_needs_a_restart_is_named_and_left_alone(configured: Configured) -> None:
    configured.write("clearing_level: 0\ntenant_id: OTHER\nagent_id: node-7\n")
    told = configured.reload()
    assert "changed=agent_id restart_for=tenant,clearing_level" in told
    status = configured.agent.json("status")
    assert (status["tenant"], status["clearing_level"]) == ("LOCAL", 1)


def test_collectors_are_those_of_the_new_settings(configured: Configured, room: Path) -> None:
    agent = configured.agent
    model = room / "model.bin"
    model.write_bytes(b"weights")
    models = f"agent:\n  models:\n  - name: m\n    path: {model}\n"
    configured.write(f"clearing_level: 1\n{models}  intervals:\n    host: 60\n")
    configured.reload()
    collectors = {c["name"]: c for c in agent.json("status")["collectors"]}
    assert collectors["host"]["interval_s"] == 60
    assert "weights" in collectors
    configured.write("clearing_level: 1\n")
    configured.reload()
    assert "weights" not in {c["name"] for c in agent.json("status")["collectors"]}
    assert "Traceback" not in agent.log.read_text()


def test_reloading_again_and_again_loses_nothing(configured: Configured) -> None:
    with IntakeConnection(configured.agent.intake) as connection:
        for number in range(1, 6):
            configured.write(f"clearing_level: {1 + number % 2}\n")
            configured.reload()
            submit(connection, number)
    assert "Traceback" not in configured.agent.log.read_text()


class _Ledger(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_ledger_that_is_configured_is_delivered_to(configured: Configured) -> None:
    with HTTPServer(("127.0.0.1", 0), _Ledger) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        configured.write(f"clearing_level: 1\nendpoint: {endpoint}\napi_key: axm_test_1\n")
        configured.file.chmod(0o600)
        told = configured.reload()
        assert "changed=ledger" in told
        configured.agent.await_log("event=DELIVERY")
        configured.write("clearing_level: 1\n")
        assert "changed=ledger" in configured.reload()
        server.shutdown()


def test_every_kind_of_setting_takes_effect(configured: Configured, room: Path) -> None:
    agent, ops = configured.agent, Ops(configured.agent)
    importer = room / "importer.pem"
    key = Ed25519PrivateKey.generate().public_key()
    importer.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    receipts = room / "receipts"
    receipts.write_text("{}")
    assert "no importer" in agent.cli("import-receipts", str(receipts)).stderr
    with IntakeConnection(agent.intake) as connection:
        configured.write(
            json.dumps(  # JSON is YAML
                {
                    "clearing_level": 1,
                    "agent_id": "node-7",
                    "cycle_id": "cycle-9",
                    "signing_key": "reloaded-key-of-32-bytes-or-more",
                    "signing_key_id": "key-2",
                    "mcp_policy": {"tool_blocklist": ["rm_rf"]},
                    "policy": {"required_procedures": ["AI-MDL.1"]},
                    "agent": {"gpu": {"expected": 8}, "receipts": {"importers": [str(importer)]}},
                }
            )
        )
        configured.file.chmod(0o600)
        told = configured.reload()
        assert "restart_for=nothing" in told, told
        for name in ("agent_id", "signing", "labels", "tools", "required", "gpu", "receipts"):
            assert name in told.partition("changed=")[2].split()[0].split(",")
        assert not connection.ask({"op": "check", "id": "1", "tool": "rm_rf"})["allowed"]
    agent.json("attest", "platform")
    own = [record for record in agent.records() if "AI-HW.3" in str(record)][-1]["payload"]
    assert (own["agent_id"], own["cycle_id"], own["signing_key_id"]) == (
        "node-7",
        "cycle-9",
        "key-2",
    )
    assert ops.await_any("COVERAGE_MISSING")
    ops.await_any("ATTESTATION_FAILED")  # eight GPUs are expected now
    assert "no importer" not in agent.cli("import-receipts", str(receipts)).stderr


def test_a_file_that_is_mended_is_in_force_again(configured: Configured) -> None:
    configured.write("clearing_level: [\n")
    assert "event=RELOAD_REFUSED" in configured.reload()
    configured.file.unlink()
    assert "event=RELOAD_REFUSED" in configured.reload()
    configured.write("clearing_level: 2\n")
    assert "changed=clearing_level" in configured.reload()
    assert configured.agent.json("status")["clearing_level"] == 2


def test_reloads_that_follow_each_other_closely_put_nothing_off(room: Path) -> None:
    with Node(
        load_config({"SWT3_STATE_DIR": str(room / "state"), "SWT3_TPM_TCTI": "none"})
    ) as node:
        scheduler = scheduler_of(node)
        scheduler.start(paused=True)
        try:
            due = {job.id: job.next_run_time for job in scheduler.get_jobs()}
            schedule(scheduler, node, frozenset())
            assert {job.id: job.next_run_time for job in scheduler.get_jobs()} == due
            assert "head" in due
            schedule(scheduler, node, {"host"})
            assert scheduler.get_job("host").next_run_time > due["host"]
        finally:
            scheduler.shutdown()


def test_a_reload_while_the_agent_stops_ends_nothing(configured: Configured) -> None:
    agent = configured.agent
    pid = agent.pid
    done = Event()

    def storm() -> None:
        with contextlib.suppress(ProcessLookupError):
            while not done.wait(0.001):
                os.kill(pid, signal.SIGHUP)

    storming = Thread(target=storm)
    storming.start()
    try:
        code, log = agent.stop()
    finally:
        done.set()
        storming.join()
    assert code == 0, log
    assert "Traceback" not in log
