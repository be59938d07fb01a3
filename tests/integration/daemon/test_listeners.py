"""Several listeners of one agent: one socket for each tenant, and what HTTP answers of the log."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.agent import AgentProcess, IntakeConnection
from tests.support.anchors import inference_anchor, submission_of

PATIENCE_S = 20.0


def configured(root: Path, **agent: Any) -> AgentProcess:
    file = root / "agent.yaml"
    file.write_text(json.dumps({"signing_key": "key-of-LOCAL-alone", "agent": agent}))
    return AgentProcess(root, arguments=("--config", str(file)))


def submit(tenant: str, batch: int) -> dict[str, Any]:
    return submission_of(inference_anchor(tenant), batch=batch)


def test_a_listener_is_a_tenant(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.sock"
    listener = {"name": "theirs", "tenant": "OTHER", "socket": str(theirs)}
    with configured(tmp_path, listeners=[listener]) as agent:
        with IntakeConnection(agent.intake) as ours, IntakeConnection(theirs) as others:
            assert ours.ask(submit("LOCAL", 1))["accepted"] == 1
            stored = others.ask(submit("OTHER", 1))  # of a client with the same name
            strange = others.ask(submit("LOCAL", 2))
            signed = ours.ask({"op": "sign", "id": "1", "payload": "c059eb5938c0"})
            unsigned = others.ask({"op": "sign", "id": "1", "payload": "c059eb5938c0"})
        records = agent.records()
        status = agent.json("status")
    said = records[stored["first_seq"]]["provenance"]
    assert (said["listener"], said["tenant"]) == ("intake-theirs", "OTHER")
    assert strange["results"][0]["code"] == "BAD_FINGERPRINT"
    assert (signed["ok"], unsigned["code"]) == (True, "SIGN_UNAVAILABLE")
    assert status["intake"]["relayed"] == 2
    assert not theirs.exists()


@pytest.mark.parametrize(
    "listener",
    [
        {"name": "Theirs!", "tenant": "OTHER", "socket": "/run/x.sock"},
        {"name": "theirs", "tenant": "LOCAL", "socket": "/run/x.sock"},
        {"name": "theirs", "tenant": "O:R", "socket": "/run/x.sock"},
        {"name": "theirs", "tenant": "OTHER", "socket": "x.sock"},
    ],
)
def test_a_listener_that_cannot_be_meant_is_refused(
    listener: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(json.dumps({"agent": {"listeners": [listener]}}))
    refused = AgentProcess(tmp_path).cli("config", "check", "--config", str(file))
    assert refused.returncode == 78
    assert "agent.listeners[0]" in refused.stdout + refused.stderr


def test_the_http_socket_takes_batches_and_tells_of_days(
    agent_without_tpm: AgentProcess,
) -> None:
    anchor = inference_anchor()
    fingerprint = anchor["anchor_fingerprint"]
    transport = httpx.HTTPTransport(uds=str(agent_without_tpm.intake.with_name("http.sock")))
    with httpx.Client(transport=transport, base_url="http://agent", timeout=PATIENCE_S) as client:
        answer = client.post("/api/v1/witness/batch", json={"witnesses": [anchor]}).json()
        proof = client.get("/api/v1/proof", params={"fingerprint": fingerprint})
        day = client.get("/api/v1/merkle", params={"date": proof.json()["day"]["date"]})
        unknown = client.get("/api/v1/proof?fingerprint=000000000000")
        never = client.get("/api/v1/merkle?date=1999-01-01")
    assert answer["receipts"][0]["ok"]
    assert (proof.status_code, proof.json()["fingerprint"]) == (200, fingerprint)
    assert day.json()["root"] == proof.json()["root"]
    assert "uid" not in proof.text
    assert (unknown.status_code, never.status_code) == (404, 404)
