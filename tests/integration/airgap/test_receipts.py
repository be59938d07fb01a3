"""Over the gap and back: export, verify elsewhere, sign, import, settled."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.trust import TpmKind, TrustStatement
from swt3_agent.tpm.software import SoftwareTpm
from swt3_agent.verify import enroller_public_key, sign_trust
from tests.support.agent import AgentProcess, IntakeConnection
from tests.support.anchors import submission
from tests.support.bundles import ENROLLER, FOR_EVER
from tests.support.ledger import API_KEY, Ledger

FALSE, UNDECIDED = 3, 4
IMPORTER = Ed25519PrivateKey.from_private_bytes(sha256(b"importer").digest())
STRANGER = Ed25519PrivateKey.from_private_bytes(sha256(b"stranger").digest())


def write_key(path: Path, key: Ed25519PrivateKey) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def configured(root: Path, key: Ed25519PrivateKey = IMPORTER) -> Path:
    """agent.yaml that lets one importer settle."""
    public = root / "importer.pub.pem"
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    file = root / "agent.yaml"
    file.write_text(f"agent:\n  receipts:\n    importers: [{public}]\n")
    return file


@pytest.fixture
def agent(room: Path, swtpm: SoftwareTpm) -> Iterator[AgentProcess]:
    arguments = ("--config", str(configured(room)))
    with AgentProcess(room, swtpm.tcti, arguments=arguments) as running:
        yield running


def trust_in(agent: AgentProcess, path: Path) -> Path:
    records = agent.records()
    key, boot = (
        next(record["payload"] for record in records if record["kind"] == kind.label)
        for kind in (Kind.KEY, Kind.BOOT)
    )
    statement = TrustStatement(
        enroller="enroller.example",
        enroller_key=enroller_public_key(ENROLLER),
        node_id=boot["node_id"],
        log_id=boot["log_id"],
        ak_public=base64.b64decode(key["ak_public"]),
        tpm=TpmKind.SOFTWARE,
        log_pcr=13,
        valid_from_ms=0,
        valid_until_ms=FOR_EVER,
    )
    path.write_bytes(sign_trust(statement.body(), ENROLLER))
    return path


def submit(agent: AgentProcess, count: int, batch: int) -> None:
    with IntakeConnection(agent.intake) as intake:
        assert intake.ask(submission(count, batch=batch))["ok"]


def elsewhere(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`swt3-agent verify` on a machine that has neither agent nor state."""
    return subprocess.run(
        [sys.executable, "-m", "swt3_agent", "verify", *arguments],
        cwd=directory,
        env={"HOME": str(directory), "SWT3_STATE_DIR": str(directory / "none")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def signed_for(
    agent: AgentProcess, bundle: str, there: Path, key: Ed25519PrivateKey = IMPORTER
) -> Path:
    """The receipts of an importer who verified ``bundle`` elsewhere."""
    receipts = there / f"{Path(bundle).name}.receipts"
    done = elsewhere(
        there,
        bundle,
        "--trust",
        str(trust_in(agent, there / "enroller.trust")),
        "--allow-software-tpm",
        "--receipts",
        str(receipts),
        "--key",
        str(write_key(there / "importer.pem", key)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sha256(key.public_key().public_bytes_raw()).hexdigest() in done.stdout
    return receipts


def test_what_was_exported_and_signed_for_is_settled(agent: AgentProcess, tmp_path: Path) -> None:
    submit(agent, 10, batch=1)
    first = agent.json("export", str(tmp_path))
    submit(agent, 5, batch=2)
    second = agent.json("export", str(tmp_path))
    assert first["end"] == second["first"]
    assert agent.json("status")["airgap"]["unreceipted"] == 2
    receipts = [signed_for(agent, made["file"], tmp_path) for made in (first, second)]

    too_early = agent.json("import-receipts", str(receipts[1]))
    assert too_early["error"]["code"] == "SETTLEMENT_GAP"
    answer = agent.json("import-receipts", str(receipts[0]))
    assert (answer["schema"], answer["refused"]) == ("swt3-agent/import-receipts/1", 0)
    assert (answer["settled_to"], answer["repeated"]) == (first["end"], False)
    agent.json("import-receipts", str(receipts[1]))
    again = agent.json("import-receipts", str(receipts[1]))
    assert (again["settled_to"], again["repeated"]) == (second["end"], True)

    airgap = agent.json("status")["airgap"]
    assert (airgap["unreceipted"], airgap["settled_to"]) == (0, second["end"])
    assert airgap["last_export"]["manifest"] == second["manifest"]
    kept = sha256(receipts[0].read_bytes()).hexdigest()
    assert (agent.state_dir / "evidence" / kept).read_bytes() == receipts[0].read_bytes()
    assert agent.json("fsck")["findings"] == []


def test_nobody_elses_receipts_settle(agent: AgentProcess, tmp_path: Path) -> None:
    submit(agent, 3, batch=1)
    made = agent.json("export", str(tmp_path))
    strangers = signed_for(agent, made["file"], tmp_path, STRANGER)
    assert agent.json("import-receipts", str(strangers))["error"]["code"] == "RECEIPTS_IMPORTER"
    good = signed_for(agent, made["file"], tmp_path)
    text = good.read_text()
    for old, new, code in (
        (made["manifest"], "00" * 32, "RECEIPTS_SIGNATURE"),
        ("importer importer ", "importer someone ", "RECEIPTS_SIGNER"),
        ("swt3-agent/receipts/1", "swt3-agent/receipts/9", "RECEIPTS_FORMAT_UNKNOWN"),
        ("range ", "ranges ", "RECEIPTS_BODY"),
    ):
        good.write_text(text.replace(old, new, 1))
        error = agent.json("import-receipts", str(good))["error"]
        assert error["code"] == code
        assert error["remedy"]
    assert agent.json("status")["airgap"]["settled_to"] == 0


def test_there_are_no_receipts_for_what_was_not_verified(
    agent: AgentProcess, tmp_path: Path
) -> None:
    made = agent.json("export", str(tmp_path))
    key, out = write_key(tmp_path / "key.pem", IMPORTER), tmp_path / "receipts"
    receipts = ("--receipts", str(out), "--key", str(key))
    done = elsewhere(tmp_path, made["file"], "--json", *receipts)
    answer = json.loads(done.stdout)
    assert (answer["code"], answer["receipts"]) == ("SIGNER_UNANCHORED", None)
    assert not out.exists()
    proof = tmp_path / "proof.json"
    agent.cli("prove", "0", "-o", str(proof))
    refused = elsewhere(tmp_path, str(proof), *receipts, "--json")
    assert json.loads(refused.stdout)["error"]["code"] == "NOT_A_BUNDLE"
    assert elsewhere(tmp_path, made["file"], "--key", str(key)).returncode == 2


def test_an_export_without_a_daemon_or_a_tpm_says_so(tmp_path: Path, room: Path) -> None:
    agent = AgentProcess(room)
    assert agent.json("export", str(tmp_path))["error"]["code"] == "STATE_ABSENT"
    agent.cli("attest", "host")
    made = agent.json("export", str(tmp_path / "my.bundle"))
    assert (made["file"], made["signed"]) == (str(tmp_path / "my.bundle"), False)
    answer = json.loads(elsewhere(tmp_path, made["file"], "--json").stdout)
    assert (answer["code"], answer["exit_code"]) == ("LOG_UNSIGNED", 4)
    with (tmp_path / "my.bundle").open("rb") as bundle:
        piped = subprocess.run(
            agent.command("verify", "-", "--json"),
            stdin=bundle,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert json.loads(piped.stdout)["code"] == "LOG_UNSIGNED"
    assert agent.json("import-receipts", made["file"])["error"]["code"] == "RECEIPTS_BODY"


def test_a_failure_is_named_in_the_bundle(room: Path, tmp_path: Path) -> None:
    agent = AgentProcess(room)
    assert agent.cli("attest", "platform").returncode == FALSE
    (failed,) = [record for record in agent.records() if record["kind"] == "minted"]
    made = agent.json("export", str(tmp_path))
    (failure,) = json.loads(elsewhere(tmp_path, made["file"], "--json").stdout)["bundle"][
        "failures"
    ]
    assert (failure["seq"], failure["procedure_id"]) == (failed["seq"], "AI-HW.3")
    assert failure["received_ms"] == failed["received_ns"] // 1_000_000
    assert failure["reasons"] == failed["provenance"]["reasons"]
    text = elsewhere(tmp_path, made["file"]).stdout
    assert f"  failed      AI-HW.3 in record {failed['seq']}, " in text


def test_an_importer_is_told_that_he_signed_nothing(room: Path, tmp_path: Path) -> None:
    agent = AgentProcess(room)
    agent.cli("attest", "host")
    made = agent.json("export", str(tmp_path))
    key = write_key(tmp_path / "importer.pem", IMPORTER)
    receipts = tmp_path / "receipts"
    done = elsewhere(tmp_path, made["file"], "--receipts", str(receipts), "--key", str(key))
    assert done.returncode == UNDECIDED
    assert "no receipts were written" in done.stdout
    assert not receipts.exists()


def test_a_bundle_is_replayed_to_a_ledger_and_its_refusals_come_back(
    agent: AgentProcess, tmp_path: Path
) -> None:
    submit(agent, 6, batch=1)
    made = agent.json("export", str(tmp_path))
    anchors = [record for record in agent.records() if record["kind"] in {"minted", "relayed"}]
    anchors = [record for record in anchors if record["seq"] < made["end"]]
    arguments = [
        *("replay", made["file"], "--trust", str(trust_in(agent, tmp_path / "enroller.trust"))),
        *("--allow-software-tpm", "--key", str(write_key(tmp_path / "key.pem", IMPORTER))),
    ]
    with Ledger() as ledger:
        ledger.rejected = {anchors[0]["payload"]["anchor_fingerprint"]}
        there = AgentProcess(tmp_path, SWT3_ENDPOINT=ledger.endpoint, SWT3_API_KEY=API_KEY)
        done = there.cli(*arguments, "--receipts", str(tmp_path / "receipts"), "--json")
        answer = json.loads(done.stdout)
        assert done.returncode == 0, done.stderr
        assert answer["refused"] == [{"seq": anchors[0]["seq"], "code": "REFUSED_BY_LEDGER"}]
        assert len(ledger.stored) == len(anchors) - 1
    assert not there.state_dir.exists()
    settled = agent.json("import-receipts", str(tmp_path / "receipts"))
    assert (settled["accepted"], settled["refused"]) == (len(anchors) - 1, 1)
    assert agent.json("status")["delivery"]["refused"] == 1
    again = agent.json("import-receipts", str(tmp_path / "receipts"))
    assert (again["repeated"], again["accepted_since"]) == (True, 0)
    all_of_it = str(signed_for(agent, made["file"], tmp_path))
    assert agent.json("import-receipts", all_of_it)["accepted_since"] == 1
    assert agent.json("status")["delivery"]["refused"] == 0
    records = len(agent.records())
    for receipts in (all_of_it, str(tmp_path / "receipts")):  # what was accepted stays so
        assert agent.json("import-receipts", receipts)["accepted_since"] == 0
    assert [r["kind"] for r in agent.records()[records:]].count("receipt") == 0
    assert agent.json("status")["delivery"]["refused"] == 0
    gone = there.json(*arguments, "--receipts", str(tmp_path / "again"))
    assert gone["error"]["code"].startswith("LEDGER_")
    assert not (tmp_path / "again").exists()


def test_refusals_are_said_in_the_bundle(agent: AgentProcess, tmp_path: Path) -> None:
    request = submission(2, batch=1)
    request["witnesses"][0]["anchor_fingerprint"] = "0" * 12
    with IntakeConnection(agent.intake) as intake:
        intake.ask(request)
    made = agent.json("export", str(tmp_path))
    answer = json.loads(elsewhere(tmp_path, made["file"], "--json").stdout)
    assert answer["bundle"]["listeners"]["intake"]["refused"]["BAD_FINGERPRINT"] == 1
    assert answer["bundle"]["withheld"] == {"quarantine": 1}
