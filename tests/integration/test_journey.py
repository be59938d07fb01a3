"""The whole way of a record: to a ledger that comes and goes, and over an air gap and back."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from swt3_agent.protocol.proof import decode_proof
from swt3_agent.protocol.trust import TpmKind, TrustStatement
from swt3_agent.tpm.software import SoftwareTpm
from swt3_agent.verify import enroller_public_key, sign_trust
from tests.support.agent import AgentProcess
from tests.support.anchors import inference_anchor
from tests.support.ledger import API_KEY, Ledger
from tests.support.namespaces import StrangersMachine, without_network

PATIENCE_S = 60.0
PROMPT_HASH = "0f6b04241d237297"
SENTINEL = "weights-of-a-model-that-nobody-may-name"


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came"


def submit(agent: AgentProcess, batch: int, *witnesses: dict[str, Any]) -> int:
    """Hand the anchors in; the number of the first."""
    answer = agent.submit(batch, *witnesses)
    assert answer["accepted"] == len(witnesses), answer
    return int(answer["first_seq"])


def anchor(**changes: Any) -> dict[str, Any]:
    """An inference as a client at level 1 sends it."""
    content = {
        "clearing_level": 1,
        "ai_model_id": SENTINEL,
        "ai_prompt_hash": PROMPT_HASH,
        "ai_latency_ms": 123,
        "ai_context": {"provider": SENTINEL},
    }
    return inference_anchor(**{**content, **changes})


def forwarded(agent: AgentProcess) -> list[Any]:
    return [
        record["payload"] for record in agent.records() if record["kind"] in ("minted", "relayed")
    ]


def receipted(agent: AgentProcess) -> int:
    """How many receipts the log has."""
    records = [record["payload"] for record in agent.records() if record["kind"] == "receipt"]
    return sum(len(record.get("receipts", ())) for record in records)


def test_a_connected_node_loses_its_ledger_for_a_while_and_then_owes_it_nothing(
    room: Path, swtpm: SoftwareTpm
) -> None:
    agent = AgentProcess(room, swtpm.tcti, SWT3_CLEARING_LEVEL="1", SWT3_API_KEY=API_KEY)
    with contextlib.ExitStack() as closing:
        with Ledger() as ledger:
            agent.environment["SWT3_ENDPOINT"] = ledger.endpoint
            closing.enter_context(agent)
            submit(agent, 0, *(anchor() for _ in range(30)))
            until(lambda: agent.json("queue")["backlog"] == 0, "an empty queue")
        submit(agent, 1, *(anchor() for _ in range(30)))
        assert agent.json("baseline", "accept", "--reason", "as installed")["verdict"] == "PASS"
        until(lambda: agent.json("queue")["error"] is not None, "an error of delivery")
        assert agent.json("queue")["backlog"] >= 31
        agent.kill()
        agent.start()
        with Ledger(port=ledger.port) as back:
            agent.cli("queue", "resume")

            def held() -> list[Any]:
                return [json.loads(one) for one in dict.fromkeys(ledger.stored + back.stored)]

            until(lambda: held() == forwarded(agent), "every anchor, once and in order,")
            until(lambda: receipted(agent) == len(held()), "a receipt for each")
        assert agent.json("queue")["refused"] == 0
        assert len(held()) >= 61


@pytest.fixture
def importer(tmp_path: Path) -> Path:
    """A private key, and beside it the public half that the node is given."""
    key = Ed25519PrivateKey.generate()
    private = tmp_path / "importer.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private.with_name("importer.pub.pem").write_bytes(public)
    return private


def enrol(proof: Path, trust: Path) -> None:
    """What an enroller signs who saw the key of this node's software TPM."""
    proven = decode_proof(proof.read_bytes())
    assert proven.quote is not None
    enroller = Ed25519PrivateKey.generate()
    now_ms = time.time_ns() // 1_000_000
    statement = TrustStatement(
        enroller="enroller.example",
        enroller_key=enroller_public_key(enroller),
        node_id=proven.node_id,
        log_id=proven.log_id,
        ak_public=proven.quote.ak_public,
        tpm=TpmKind.SOFTWARE,
        log_pcr=proven.quote.log_pcr,
        valid_from_ms=now_ms - 3_600_000,
        valid_until_ms=now_ms + 3_600_000,
    )
    trust.write_bytes(sign_trust(statement.body(), enroller))


def test_an_air_gapped_node_hands_over_everything_and_has_it_settled(
    room: Path, tmp_path: Path, swtpm: SoftwareTpm, importer: Path
) -> None:
    settings = room / "agent.yaml"
    settings.write_text(
        "clearing_level: 3\n"
        "agent:\n"
        "  receipts:\n"
        f"    importers: [{importer.with_name('importer.pub.pem')}]\n"
    )
    settings.chmod(0o600)
    alone = without_network()
    assert _interfaces(alone) == ["lo"]
    agent = AgentProcess(room, swtpm.tcti, arguments=("--config", str(settings)), wrapper=alone)
    config = ("--config", str(settings))
    stranger = StrangersMachine(tmp_path / "stranger")
    with agent:
        first = submit(agent, 0, *(anchor() for _ in range(30)))
        accepted = agent.json("baseline", "accept", "--reason", "as installed", *config)
        assert accepted["verdict"] == "PASS"
        _assert_nothing_is_told(agent, room)
        proof, trust = tmp_path / "first.proof", tmp_path / "node.trust"
        done = agent.cli("prove", str(first), "-o", str(proof), *config)
        assert done.returncode == 0, done.stderr
        enrol(proof, trust)

        exported = agent.json("export", str(tmp_path), *config)
        bundle = Path(exported["file"])
        stranger.carry_in(bundle, trust, importer)
        judged = stranger.run(
            *("verify", bundle.name, "--trust", trust.name, "--allow-software-tpm"),
            *("--receipts", "receipts.txt", "--key", importer.name, "--json"),
        )
        assert judged.returncode == 0, judged.stdout + judged.stderr
        assert json.loads(judged.stdout)["outcome"] == "verified"
        assert SENTINEL.encode() not in bundle.read_bytes()

        owed = agent.json("queue", *config)["backlog"]
        assert owed >= 31
        receipts = stranger.carried_out("receipts.txt")
        settled = agent.json("import-receipts", str(receipts), *config)
        assert settled["refused"] == 0
        airgap = agent.json("status", *config)["airgap"]
        assert (airgap["settled_to"], airgap["unreceipted"]) == (exported["end"], 0)
        assert agent.json("queue", *config)["backlog"] == owed - settled["accepted"]


def test_a_bundle_that_was_changed_on_the_way_is_refused_and_gets_no_receipts(
    room: Path, tmp_path: Path, swtpm: SoftwareTpm, importer: Path
) -> None:
    with AgentProcess(room, swtpm.tcti) as agent:
        first = submit(agent, 0, anchor())
        proof, trust = tmp_path / "first.proof", tmp_path / "node.trust"
        assert agent.cli("prove", str(first), "-o", str(proof)).returncode == 0
        enrol(proof, trust)
        bundle = Path(agent.json("export", str(tmp_path))["file"])
    changed = bytearray(bundle.read_bytes())
    changed[len(changed) // 2] ^= 1
    bundle.write_bytes(changed)
    stranger = StrangersMachine(tmp_path / "stranger")
    stranger.carry_in(bundle, trust, importer)
    judged = stranger.run(
        *("verify", bundle.name, "--trust", trust.name, "--allow-software-tpm"),
        *("--receipts", "receipts.txt", "--key", importer.name),
    )
    assert judged.returncode == 3, judged.stdout + judged.stderr
    assert not stranger.carried_out("receipts.txt").exists()


def _interfaces(wrapper: list[str]) -> list[str]:
    names = "import socket; print(*(name for _, name in socket.if_nameindex()))"
    done = subprocess.run(
        [*wrapper, "python3", "-c", names], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def _assert_nothing_is_told(agent: AgentProcess, room: Path) -> None:
    """What clearing removes is in custody only, and there it cannot be read as it lies."""
    for payload in forwarded(agent):
        assert "ai_context" not in payload
        assert "ai_prompt_hash" not in payload
        assert payload["clearing_level"] in (1, 3)
    for file in (room / "state").rglob("*"):
        if file.is_file() and not file.is_socket():
            assert SENTINEL.encode() not in file.read_bytes(), file
