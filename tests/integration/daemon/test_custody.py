"""What SDK clients say at level 1 on a node of level 3: cleared from the log, whole in custody."""

import base64
import json
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.daemon import control
from swt3_agent.protocol.fingerprint import content_hash
from tests.support.agent import READY_TIMEOUT_S, AgentProcess, IntakeConnection
from tests.support.anchors import inference_anchor
from tests.support.ledger import API_KEY, Ledger

SENTINELS = ("SENTINEL-provider", "SENTINEL-model", "SENTINEL-guardrail", "5e2715e2")
ROUNDS = 3


def as_the_sdk_sends_it(**changes: Any) -> dict[str, Any]:
    """An anchor of an inference at level 1 (docs/protocol.md 6.1)."""
    return inference_anchor(
        clearing_level=1,
        ai_model_id=SENTINELS[1],
        ai_prompt_hash=SENTINELS[3] * 2,
        ai_response_hash=SENTINELS[3] * 2,
        ai_latency_ms=1234,
        ai_context={"provider": SENTINELS[0], "guardrails": [SENTINELS[2]]},
        agent_id="router-7",
        **changes,
    )


def configured(root: Path, **custody: Any) -> AgentProcess:
    file = root / "agent.yaml"
    file.write_text(json.dumps({"agent": {"custody": custody}}))  # JSON is YAML
    return AgentProcess(root, arguments=("--config", str(file)))


def command(agent: AgentProcess, *arguments: str) -> Any:
    done = agent.cli("custody", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def elsewhere(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The same program with nothing of the node: no settings, no state, another directory."""
    return subprocess.run(
        AgentProcess(directory).command("custody", *arguments),
        cwd=directory,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def asked(agent: AgentProcess, operation: str) -> Any:
    """The daemon's own answer, without the second that a command line takes to start."""
    return control.call(agent.intake.with_name("control.sock"), operation, {}, READY_TIMEOUT_S)


def files_with(directory: Path, text: str) -> list[Path]:
    return [p for p in directory.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]


@pytest.fixture
def custodian(tmp_path: Path) -> Path:
    """A machine of its own with a key pair, ``alice.key`` and ``alice.pub``."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    assert elsewhere(directory, "keygen", "--out", "alice", "--hybrid").returncode == 0
    assert (directory / "alice.key").stat().st_mode & 0o777 == 0o600
    assert (directory / "alice.pub").stat().st_mode & 0o777 == 0o644
    return directory


def test_the_log_keeps_nothing_of_it_and_the_custodian_gets_all_back(
    tmp_path: Path, custodian: Path
) -> None:
    public = custodian / "alice.pub"
    with configured(tmp_path, recipients=[str(public)]) as agent:
        sent = [as_the_sdk_sends_it() for _ in range(3)]
        wrong = as_the_sdk_sends_it(factor_b=0)
        answer = agent.submit(1, *sent, wrong)
        assert (answer["accepted"], answer["results"][0]["quarantined"]) == (3, True)
        assert agent.submit(1, *sent, wrong) == answer
        assert agent.json("status")["intake"]["cleared"] == 4
        yaml = str(tmp_path / "agent.yaml")
        command(agent, "export", "--config", yaml, "--out", str(tmp_path / "stick"))
        records = agent.records()
        (custodian / "log.jsonl").write_text(agent.cli("log", "--json").stdout)
    for sentinel in SENTINELS:
        assert files_with(agent.state_dir, sentinel) == []
        assert sentinel not in agent.log.read_text()
    for record, given in zip([r for r in records if r["kind"] == "relayed"], sent, strict=True):
        kept = {k: v for k, v in given.items() if not k.startswith("ai_")}
        assert record["payload"] == kept | {"ai_model_id": content_hash(SENTINELS[1])}
        levels = record["provenance"]["declared_level"], record["provenance"]["applied_level"]
        assert levels == (1, 3)

    shutil.move(tmp_path / "stick", custodian / "stick")
    shutil.rmtree(agent.state_dir)
    done = elsewhere(
        custodian, "open", "stick", "--key", "alice.key", "--log", "log.jsonl", "--out", "files"
    )
    assert done.returncode == 0, done.stderr
    handoffs = [json.loads(path.read_text()) for path in (custodian / "files").iterdir()]
    by_fingerprint = {each["anchor_fingerprint"]: each for each in handoffs}
    for given in [*sent, wrong]:
        content = by_fingerprint[given["anchor_fingerprint"]]
        assert json.loads(base64.b64decode(content["envelope"]["original"])) == given
        assert content["metadata"]["ai_provider"] == SENTINELS[0]
        assert content["metadata"]["ai_guardrail_names"] == [SENTINELS[2]]
        assert content["operational"] == {"agent_id": "router-7"}
        assert (content["fingerprint_full"] is None) == (given is wrong)


def test_another_key_opens_nothing(tmp_path: Path, custodian: Path) -> None:
    public = custodian / "alice.pub"
    with configured(tmp_path, recipients=[str(public)]) as agent:
        agent.submit(1, as_the_sdk_sends_it())
    shutil.copytree(agent.state_dir / "custody", custodian / "stick")
    elsewhere(custodian, "keygen", "--out", "mallory")
    done = elsewhere(custodian, "open", "stick", "--key", "mallory.key", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "CUSTODY_NOT_FOR_THIS_KEY"
    assert elsewhere(custodian, "keygen", "--out", "mallory").returncode == 2  # no overwriting


def test_handoff_files_at_once(tmp_path: Path) -> None:
    with configured(tmp_path, format="files") as agent:
        given = as_the_sdk_sends_it()
        agent.submit(1, given)
        (file,) = (agent.state_dir / "custody").glob(f"{given['anchor_fingerprint']}*.json")
        assert json.loads(file.read_text())["context"] == given["ai_context"]


def test_without_recipients_the_node_alone_reads_it(tmp_path: Path) -> None:
    with AgentProcess(tmp_path) as agent:
        given = as_the_sdk_sends_it()
        agent.submit(1, given)
        report = command(agent, "export", "--handoff", "--out", str(tmp_path / "out"))
        assert report["entries"] >= 1
        (file,) = (tmp_path / "out").glob(f"{given['anchor_fingerprint']}*.json")
        assert json.loads(file.read_text())["context"] == given["ai_context"]
    assert files_with(agent.state_dir, SENTINELS[0]) == []
    (agent.state_dir / "custody" / "0.custody").write_bytes(b"no custody file")
    done = agent.cli("custody", "export", "--handoff", "--json", "--out", str(tmp_path / "again"))
    assert done.returncode == 3
    report = json.loads(done.stdout)
    assert [d["code"] for d in report["files"][0]["damage"]] == ["CUSTODY_HEADER"]
    assert report["entries"] >= 1


def test_a_failing_custody_stops_no_intake_and_is_made_up_for(tmp_path: Path) -> None:
    volume = tmp_path / "not-mounted"
    with configured(tmp_path, path=str(volume)) as agent:
        given = [as_the_sdk_sends_it() for _ in range(2)]
        assert agent.submit(1, given[0])["accepted"] == 1
        custody = asked(agent, "status")["custody"]
        assert custody["lack"]["code"] == "CUSTODY_FAILED"
        assert str(volume) in custody["lack"]["detail"]
        assert "nothing is forwarded" in agent.cli("status").stdout
        assert agent.submit(2, given[1])["accepted"] == 1
        assert agent.json("attest")
        yaml = str(tmp_path / "agent.yaml")
        assert command(agent, "status", "--config", yaml)["spooled_files"] >= 1
        volume.mkdir()
        deadline = time.monotonic() + READY_TIMEOUT_S
        while asked(agent, "status")["custody"]["lack"] is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert command(agent, "status", "--config", yaml)["spooled_files"] == 0
        (tmp_path / "log.jsonl").write_text(agent.cli("log", "--json").stdout)
    assert_custody_has_all(agent, volume, tmp_path)


def test_nothing_is_forwarded_that_custody_has_not_in_its_place(tmp_path: Path) -> None:
    volume = tmp_path / "not-mounted"
    with Ledger() as ledger:
        file = tmp_path / "agent.yaml"
        settings = {
            "clearing_level": 2,
            "endpoint": ledger.endpoint,
            "agent": {"custody": {"path": str(volume)}},
        }
        file.write_text(json.dumps(settings))
        agent = AgentProcess(tmp_path, arguments=("--config", str(file)), SWT3_API_KEY=API_KEY)
        with agent:
            given = as_the_sdk_sends_it()
            assert agent.submit(1, given)["accepted"] == 1
            deadline = time.monotonic() + READY_TIMEOUT_S
            while asked(agent, "queue")["lane"] != "waiting-custody":
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert given["anchor_fingerprint"] not in ledger.fingerprints()
            volume.mkdir()
            ledger.await_records([given["anchor_fingerprint"]])
        (sent,) = [r for r in ledger.stored if given["anchor_fingerprint"] in str(r)]
    assert SENTINELS[0] not in str(sent)
    assert SENTINELS[1] in str(sent)  # the model of an inference travels at level 2


class Producer(threading.Thread):
    """Sends anchors of level 1 until the agent is gone for good."""

    def __init__(self, agent: AgentProcess, name: int) -> None:
        super().__init__(daemon=True)
        self._agent = agent
        self._numbers: Iterator[int] = iter(range(name * 1_000_000, (name + 1) * 1_000_000))
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            try:
                with IntakeConnection(self._agent.intake) as intake:
                    while not self.done.is_set():
                        witnesses = [as_the_sdk_sends_it() for _ in range(5)]
                        request = {"client": self.name, "batch": next(self._numbers)}
                        intake.ask({"op": "submit", "id": "x", "witnesses": witnesses, **request})
            except (OSError, EOFError):
                time.sleep(0.01)


def test_after_kill_9_no_cleared_record_lacks_its_entry(tmp_path: Path) -> None:
    chance = random.Random(9)
    agent = AgentProcess(tmp_path)
    producers = [Producer(agent, number) for number in range(3)]
    for producer in producers:
        producer.start()
    try:
        for _ in range(ROUNDS):
            agent.start()
            while asked(agent, "status")["intake"]["cleared"] < 40:
                time.sleep(0.01)
            time.sleep(chance.random() / 20)  # anywhere in a commit
            agent.kill()
    finally:
        for producer in producers:
            producer.done.set()
    for producer in producers:
        producer.join(READY_TIMEOUT_S)
    (tmp_path / "log.jsonl").write_text(agent.cli("log", "--json").stdout)
    report = assert_custody_has_all(agent, agent.state_dir / "custody", tmp_path)
    assert report["entries"] > 40 * ROUNDS
    assert sum(not file["finished"] for file in report["files"]) == ROUNDS


def assert_custody_has_all(agent: AgentProcess, custody: Path, directory: Path) -> Any:
    """Every record of ``log.jsonl`` that lost something has its entry, and nothing is damaged."""
    report = command(
        agent,
        *("open", str(custody), "--key", str(agent.state_dir / "keys" / "custody.key")),
        *("--log", str(directory / "log.jsonl"), "--out", str(directory / "opened")),
    )
    assert report["missing"] == []
    assert report["unconfirmed"] == 0
    assert not any(file["damage"] for file in report["files"])
    return report
