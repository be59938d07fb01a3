"""Health and metrics of a real daemon, over its ops socket and over TCP."""

import contextlib
import json
import re
import stat
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.agent import AgentProcess, IntakeConnection
from tests.support.ledger import API_KEY, Ledger, Trouble
from tests.support.ops import DEADLINE_S, Ops, UnixHTTPConnection, free_port
from tests.support.software_tpm import short_directory

NAMES = {
    "swt3_build_info",
    "swt3_collector_success",
    "swt3_collector_duration_seconds",
    "swt3_attestation_last_success_timestamp_seconds",
    "swt3_witness_total",
    "swt3_clearing_level",
    "swt3_intake_rejected_total",
    "swt3_log_tree_size",
    "swt3_checkpoint_timestamp_seconds",
    "swt3_quarantined_records",
    "swt3_ready",
}


@pytest.fixture(scope="module")
def agent() -> Iterator[AgentProcess]:
    """One for all tests that change nothing."""
    with short_directory() as room, AgentProcess(room) as agent:
        yield agent


def test_health_has_the_keys_that_its_readers_know(agent: AgentProcess) -> None:
    ops = Ops(agent)
    for path in ("/healthz", "/health"):
        status, health = ops.json(path)
        assert status == 200
        assert list(health) == [
            "status",
            "version",
            "mode",
            "last_attestation",
            "silicon_vendor",
            "topology",
            "accelerator_count",
            "gpu_count",
            "pending",
        ]
        assert (health["status"], health["mode"], health["pending"]) == ("ok", "local", 0)
    ops.await_reasons(set())
    _, health = ops.json("/healthz")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", health["last_attestation"])


def test_the_ops_socket_is_for_operators(agent: AgentProcess) -> None:
    assert stat.S_IMODE(Ops(agent).path.stat().st_mode) == 0o660


def test_metrics_tell_what_the_node_did(agent: AgentProcess) -> None:
    Ops(agent).await_reasons(set())
    with IntakeConnection(agent.intake) as intake:
        intake.ask({"op": "nonsense", "id": "1"})
    status, answer, body = Ops(agent).ask("/metrics")
    assert status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = body.decode()
    told = set(re.findall("^(swt3_[a-z_]+)[ {]", text, re.MULTILINE))
    assert told >= NAMES
    assert 'swt3_intake_rejected_total{reason="UNKNOWN_OP"} 1.0' in text
    assert "swt3_clearing_level 3.0" in text
    assert 'swt3_witness_total{verdict="FAIL"}' in text  # level 3: AI-HW.3 has no name here
    assert "AI-HW" not in text
    assert "swt3_agent_process_open_fds" in text


def test_metrics_speak_openmetrics_to_who_asks_for_it(agent: AgentProcess) -> None:
    _, answer, body = Ops(agent).ask(
        "/metrics", Accept="application/openmetrics-text; version=1.0.0"
    )
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_procedures_have_names_below_level_3(room: Path) -> None:
    with AgentProcess(room, SWT3_CLEARING_LEVEL="1") as agent:
        Ops(agent).await_reasons(set())
        _, _, body = Ops(agent).ask("/metrics")
        assert b'swt3_witness_total{procedure="AI-HW.3",verdict="FAIL"} 1.0' in body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/healthz?x=" + "y" * 4000, 200),
        ("POST", "/healthz", 405),
        ("DELETE", "/metrics", 405),
        ("HEAD", "/healthz", 200),
    ],
)
def test_other_requests_are_refused(
    agent: AgentProcess, method: str, path: str, status: int
) -> None:
    assert Ops(agent).ask(path, method)[0] == status


def test_a_body_is_refused(agent: AgentProcess) -> None:
    with contextlib.closing(UnixHTTPConnection(Ops(agent).path)) as connection:
        with contextlib.suppress(BrokenPipeError):  # it may be refused by its head alone
            connection.request("GET", "/healthz", body=b"x")
        assert connection.getresponse().status == 413


def test_a_record_in_quarantine_makes_the_node_unready(room: Path) -> None:
    witness = {
        "procedure_id": "AI-INF.1",
        "factor_a": 1,
        "factor_b": 1,
        "factor_c": 0,
        "clearing_level": 3,
        "anchor_fingerprint": "0" * 12,
        "anchor_epoch": 1700000000,
        "fingerprint_timestamp_ms": 1700000000000,
    }
    with AgentProcess(room) as agent:
        ops = Ops(agent)
        ops.await_reasons(set())
        assert agent.submit(1, witness)["results"][0]["quarantined"]
        view = ops.await_reasons({"QUARANTINE"})
        assert view["reasons"][0]["remedy"]
        _, _, body = ops.ask("/metrics")
        assert b"swt3_quarantined_records 1.0" in body
        assert b'swt3_unready{reason="QUARANTINE"} 1.0' in body


def test_a_tpm_that_is_wanted_and_missing_makes_the_node_unready(room: Path) -> None:
    with AgentProcess(room, f"device:{room}/none") as agent:
        view = Ops(agent).await_reasons({"TPM_ABSENT", "ATTESTATION_FAILED"})
        assert all(reason["detail"] and reason["remedy"] for reason in view["reasons"])


def test_on_tcp_a_cautious_node_gives_codes_and_names_no_hardware(room: Path) -> None:
    port = free_port()
    config = room / "agent.yaml"
    config.write_text(f"agent:\n  ops:\n    port: {port}\n")
    tcti = f"device:{room}/none"
    with AgentProcess(room, tcti, arguments=["--config", str(config)]) as agent:
        Ops(agent).await_reasons({"TPM_ABSENT", "ATTESTATION_FAILED"})
        connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        assert answer.status == 503
        for reason in json.loads(answer.read())["reasons"]:
            assert set(reason) == {"code"}
        connection.request("GET", "/healthz")
        health = json.loads(connection.getresponse().read())
        assert health["topology"] is None
        for page in ({"Host": "rebound.example"}, {"Origin": "http://127.0.0.1"}):
            for path in ("/healthz", "/readyz", "/metrics"):
                connection.request("GET", path, headers=page)
                refused = connection.getresponse()
                assert refused.status == 403
                assert b"swt3" not in refused.read()
        connection.close()


def test_a_ledger_that_refuses_the_node_is_seen_in_health_readiness_and_metrics(room: Path) -> None:
    with Ledger() as ledger:
        ledger.always = Trouble(401)
        environment = {
            "SWT3_ENDPOINT": ledger.endpoint,
            "SWT3_API_KEY": API_KEY,
            "SWT3_CLEARING_LEVEL": "1",
        }
        with AgentProcess(room, **environment) as agent:
            ops = Ops(agent)
            view = ops.await_reasons({"LEDGER_DENIED"})
            assert view["reasons"][0]["remedy"]
            _, health = ops.json("/healthz")
            assert health["mode"] == "cloud"
            assert health["pending"] > 0
            text = ops.ask("/metrics")[2].decode()
            assert "swt3_delivery_up 0.0" in text
            assert re.search("swt3_delivery_oldest_timestamp_seconds [1-9]", text)
            assert "swt3_custody_available 1.0" in text
            agent.await_log("event=DELIVERY_STOPPED")
