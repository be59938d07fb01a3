"""From the socket to a proof that a stranger can verify: the whole thread, in real processes."""

import itertools
import json
import subprocess
from pathlib import Path

import pytest

from swt3_agent.protocol.fingerprint import mint_fingerprint
from swt3_agent.tpm.software import SoftwareTpm
from tests.support.agent import AgentProcess, IntakeConnection
from tests.support.anchors import submission

UNANCHORED, UNSIGNED, TAMPERED = 4, 4, 3


def test_a_relayed_anchor_is_kept_byte_for_byte_and_proved_offline(
    agent: AgentProcess, tmp_path: Path
) -> None:
    request = submission(3, batch=1)
    line = json.dumps(request, separators=(",", ":")).replace('"factor_a":1', '"factor_a": 1.0')
    with IntakeConnection(agent.intake) as intake:
        answer = intake.ask_line(line.encode())
    assert (answer["ok"], answer["accepted"], answer["rejected"]) == (True, 3, 0)
    sequence_number = answer["first_seq"] + 1

    record = agent.records()[sequence_number]
    assert record["kind"] == "relayed"
    assert record["payload"]["factor_a"] == 1.0
    assert record["provenance"]["client"] == "test-client"
    raw = agent.cli("log", "--since", str(sequence_number), "--json").stdout.splitlines()[0]
    assert '"factor_a": 1.0,"factor_b":1' in raw

    proof = tmp_path / "proof.json"
    proved = agent.json("prove", str(sequence_number), "-o", str(proof))
    assert proved["signed"]
    agent.stop()
    verified = agent.cli("verify", str(proof), "--allow-software-tpm", "--json")
    report = json.loads(verified.stdout)
    assert (verified.returncode, report["code"]) == (UNANCHORED, "SIGNER_UNANCHORED")
    undecided = {check["name"] for check in report["checks"] if not check["ok"]}
    assert undecided == {"signer", "root-of-trust"}


def test_a_proof_is_found_by_fingerprint(agent: AgentProcess, tmp_path: Path) -> None:
    request = submission(1, batch=1)
    with IntakeConnection(agent.intake) as intake:
        first = intake.ask(request)["first_seq"]
        twin = intake.ask({**request, "batch": 2})["first_seq"]
    fingerprint = request["witnesses"][0]["anchor_fingerprint"]
    ambiguous = agent.json("prove", fingerprint, "-o", str(tmp_path / "proof.json"))
    assert ambiguous["error"]["code"] == "AMBIGUOUS_FINGERPRINT"
    assert f"{first}, {twin}" in ambiguous["error"]["message"]
    assert not (tmp_path / "proof.json").exists()


@pytest.mark.parametrize("what", ["0123456789ab", "999999", "nonsense"])
def test_a_record_that_is_not_there_cannot_be_proved(
    agent_without_tpm: AgentProcess, what: str
) -> None:
    refused = agent_without_tpm.cli("prove", what)
    assert refused.returncode == 2
    assert "remedy" in refused.stderr


def test_attest_mints_what_a_second_implementer_would(agent: AgentProcess) -> None:
    accepted = agent.json("baseline", "accept", "--reason", "as installed")
    rows = {row["collector"]: row for row in agent.json("attest")}
    platform = rows["platform"]
    assert platform["procedure_id"] == "AI-HW.3"
    assert (platform["factor_a"], platform["factor_b"], platform["factor_c"]) == (12, 1, 3)
    assert (platform["verdict"], platform["root_of_trust"]) == ("PASS", "software-tpm")
    assert (platform["reasons"], platform["baseline_record"]) == ([], accepted["record"])
    payload = agent.records()[platform["record"]]["payload"]
    timestamp_ms = payload["fingerprint_timestamp_ms"]
    minted = mint_fingerprint("LOCAL", "AI-HW.3", 12, 1, 3, timestamp_ms)
    assert minted == platform["anchor_fingerprint"] == payload["anchor_fingerprint"]
    assert platform["anchor_token"] == (
        f"SWT3-E-ONPREM-AI-AIHW3-PASS-{timestamp_ms // 1000}-{minted}"
    )
    assert set(payload) == {
        "procedure_id",
        "factor_a",
        "factor_b",
        "factor_c",
        "clearing_level",
        "anchor_fingerprint",
        "anchor_epoch",
        "fingerprint_timestamp_ms",
    }
    assert rows["host"]["verdict"] == "RECORDED"


def test_without_a_tpm_the_claim_fails_and_the_log_says_it_is_unsigned(
    agent_without_tpm: AgentProcess, tmp_path: Path
) -> None:
    agent = agent_without_tpm
    attested = agent.cli("attest", "platform", "--json")
    (platform,) = json.loads(attested.stdout)
    assert attested.returncode == 3
    assert (platform["factor_a"], platform["factor_b"], platform["factor_c"]) == (0, 0, 0)
    assert platform["verdict"] == "FAIL"
    assert platform["reasons"][0]["code"] == "TPM_ABSENT"
    status = agent.json("status")
    assert status["tpm"]["kind"] == "none"
    assert not status["log"]["checkpoint_signed"]
    proof = tmp_path / "proof.json"
    assert agent.cli("prove", "0", "-o", str(proof)).returncode == 0
    verified = agent.cli("verify", str(proof), "--json")
    assert (verified.returncode, json.loads(verified.stdout)["code"]) == (UNSIGNED, "LOG_UNSIGNED")


def test_tpm2_checkquote_accepts_our_quote_and_only_its_nonce(
    agent: AgentProcess, tmp_path: Path
) -> None:
    nonce, directory = "00112233445566778899aabbccddeeff", tmp_path / "quote"
    assert agent.cli("quote", "--nonce", nonce, "-o", str(directory)).returncode == 0
    assert "sha256" in json.loads((directory / "pcrs.json").read_text())

    def checkquote(challenge: str) -> int:
        command = ["tpm2_checkquote", "-u", "ak.pem", "-m", "quote.msg", "-s", "quote.sig"]
        command += ["-q", challenge]
        return subprocess.run(command, capture_output=True, check=False, cwd=directory).returncode

    assert checkquote(nonce) == 0
    assert checkquote("ff" + nonce[2:]) != 0


@pytest.mark.parametrize("nonce", ["", "00112233445566", "00" * 32, "xyz"])
def test_a_nonce_of_another_length_is_refused(
    agent: AgentProcess, tmp_path: Path, nonce: str
) -> None:
    refused = agent.cli("quote", "--nonce", nonce, "-o", str(tmp_path / "quote"))
    assert refused.returncode == 2
    assert not (tmp_path / "quote").exists()


def test_a_restart_continues_the_chain_and_old_proofs_stay_good(
    tmp_path: Path, software_tpm: SoftwareTpm
) -> None:
    agent = AgentProcess(tmp_path, software_tpm.tcti)
    proof = tmp_path / "proof.json"
    with agent:
        agent.cli("prove", "0", "-o", str(proof))
        before = agent.json("status")
    with agent:
        after = agent.json("status")
        records = agent.records()
    assert after["log"]["log_id"] == before["log"]["log_id"]
    assert after["findings"] == []
    keys = [record for record in records if record["kind"] == "key"]
    assert len(keys) == 1
    quotes = [r["payload"] for r in records if r["provenance"].get("phase") == "quote"]
    assert len(quotes) >= 3  # at start and by prove, then at the second start
    for earlier, later in itertools.pairwise(quotes):
        assert earlier["pcrs"]["13"] == later["before"]
    assert agent.cli("verify", str(proof), "--allow-software-tpm").returncode == UNANCHORED
    assert agent.cli("fsck").returncode == 0


def test_a_stop_by_the_service_manager_leaves_a_head_over_everything(
    agent: AgentProcess,
) -> None:
    with IntakeConnection(agent.intake) as intake:
        last = intake.ask(submission(10, batch=1))["first_seq"] + 9
    code, log = agent.stop()
    assert code == 0, log
    notes = [r["payload"] for r in agent.records() if r["provenance"].get("phase") == "quote"]
    size = int(notes[-1]["note"].splitlines()[1])
    assert size > last


def test_the_service_manager_is_told_what_happens(agent: AgentProcess) -> None:
    agent.await_message("WATCHDOG=1")
    agent.await_message("STATUS=")
    agent.terminate()
    agent.await_message("STOPPING=1")


def test_a_second_daemon_on_one_state_directory_is_refused(
    agent_without_tpm: AgentProcess,
) -> None:
    agent = agent_without_tpm
    second = agent.cli("run")
    assert second.returncode == 1
    assert "STATE_LOCKED" in second.stderr
    assert agent.json("status")["running"]


def test_status_answers_also_when_the_daemon_is_gone(agent: AgentProcess) -> None:
    running = agent.json("status")
    agent.stop()
    stopped = agent.json("status")
    assert not stopped["running"]
    for key in ("node_id", "tenant", "clearing_level"):
        assert stopped[key] == running[key]
    assert stopped["tpm"]["kind"] == "software-tpm"
    assert stopped["log"]["tree_size"] >= running["log"]["tree_size"]


def test_log_follows_what_arrives(agent_without_tpm: AgentProcess) -> None:
    agent = agent_without_tpm
    start = agent.json("status")["log"]["tree_size"]
    follower = subprocess.Popen(
        agent.command("log", "--follow", "--json", "--since", str(start)),
        env=agent.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    try:
        with IntakeConnection(agent.intake) as intake:
            intake.ask(submission(2, batch=1))
        kinds = set()
        while "relayed" not in kinds:
            kinds.add(json.loads(follower.stdout.readline())["kind"])
    finally:
        follower.terminate()
        follower.wait(30)
        follower.stdout.close()


def test_verbs_open_the_node_themselves_where_no_daemon_runs(
    tmp_path: Path, software_tpm: SoftwareTpm
) -> None:
    agent = AgentProcess(tmp_path, software_tpm.tcti)
    rows = agent.json("attest", "platform")
    assert rows[0]["verdict"] == "NOT_COMPARED"
    proof = tmp_path / "proof.json"
    assert agent.cli("prove", str(rows[0]["record"]), "-o", str(proof)).returncode == 0
    assert agent.cli("verify", str(proof), "--allow-software-tpm").returncode == UNANCHORED
