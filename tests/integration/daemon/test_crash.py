"""kill -9 in the middle of a stream: nothing acknowledged is lost, nothing is stored twice."""

import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from swt3_agent.tpm.software import SoftwareTpm
from tests.support.agent import AgentProcess, IntakeConnection
from tests.support.anchors import submission

ROUNDS = 4
BATCH = 20


class Producer(threading.Thread):
    """Sends batches one after the other, and sends one again until it is answered."""

    def __init__(self, agent: AgentProcess, client: str) -> None:
        super().__init__(daemon=True)
        self._agent = agent
        self._client = client
        self.acknowledged: dict[str, int] = {}
        self.batches = 0
        self._done = threading.Event()

    def run(self) -> None:
        batch, request = 0, self._next(0)
        while not self._done.is_set():
            try:
                with IntakeConnection(self._agent.intake) as intake:
                    while not self._done.is_set():
                        answer = intake.ask(request)
                        if not answer["ok"]:
                            assert answer["retryable"], answer
                            continue
                        self._note(request, answer)
                        batch += 1
                        request = self._next(batch)
            except (OSError, EOFError):
                time.sleep(0.01)  # the daemon is down; it is not for this thread to say how long
        self.batches = batch

    def finish(self) -> None:
        self._done.set()
        self.join(60)
        assert not self.is_alive(), "a producer still waits for an answer"

    def _next(self, batch: int) -> dict[str, Any]:
        return submission(BATCH, batch, self._client)

    def _note(self, request: dict[str, Any], answer: dict[str, Any]) -> None:
        assert answer["accepted"] == BATCH
        for offset, witness in enumerate(request["witnesses"]):
            self.acknowledged[witness["anchor_fingerprint"]] = answer["first_seq"] + offset


def test_no_acknowledged_record_is_lost_or_repeated_by_kill_9(
    tmp_path: Path, software_tpm: SoftwareTpm
) -> None:
    with AgentProcess(tmp_path, software_tpm.tcti) as agent:
        producers = [Producer(agent, f"client-{number}") for number in range(3)]
        for producer in producers:
            producer.start()
        source = random.Random(9)
        for _ in range(ROUNDS):
            target = sum(len(producer.acknowledged) for producer in producers) + source.randrange(
                200, 2000
            )
            while sum(len(producer.acknowledged) for producer in producers) < target:
                assert all(producer.is_alive() for producer in producers), "a producer was let down"
                time.sleep(0.002)  # until so many were acknowledged
            agent.kill()
            agent.start()
        for producer in producers:
            producer.finish()

    relayed = [record for record in agent.records() if record["kind"] == "relayed"]
    stored = {r["payload"]["anchor_fingerprint"]: r["seq"] for r in relayed}
    acknowledged = {fp: seq for p in producers for fp, seq in p.acknowledged.items()}
    assert len(acknowledged) > ROUNDS * 200
    assert {fp: stored.get(fp) for fp in acknowledged} == acknowledged
    repeated = Counter(r["payload"]["anchor_fingerprint"] for r in relayed)
    assert [fp for fp, count in repeated.items() if count > 1] == []
    in_flight = len(relayed) - len(acknowledged)
    assert 0 <= in_flight <= BATCH * len(producers)
    checked = agent.cli("fsck")
    assert checked.returncode == 0, checked.stdout
    boots = [record for record in agent.records() if record["kind"] == "boot"]
    assert len(boots) == ROUNDS + 1
    assert all(boot["payload"]["findings"] == [] for boot in boots if not _cut(boot))


def _cut(boot: dict[str, Any]) -> bool:
    """Whether this start cut a tail that was never acknowledged: all that kill -9 may leave."""
    return [finding["code"] for finding in boot["payload"]["findings"]] == ["TORN_TAIL_CUT"]


def test_a_batch_answered_before_the_crash_gets_the_same_answer_after_it(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path)
    request = submission(5, batch=7)
    request["witnesses"][2]["anchor_fingerprint"] = "0" * 12
    with agent:
        with IntakeConnection(agent.intake) as intake:
            first = intake.ask(request)
        assert (first["accepted"], first["rejected"]) == (4, 1)
        agent.kill()
    with agent, IntakeConnection(agent.intake) as intake:
        size = agent.json("status")["log"]["tree_size"]
        again = intake.ask(request)
        assert again == first
        assert agent.json("status")["log"]["tree_size"] == size


def test_the_software_tpm_may_die_and_come_back(tmp_path: Path, software_tpm: SoftwareTpm) -> None:
    with AgentProcess(tmp_path, software_tpm.tcti) as agent:
        os.kill(software_tpm.pid, signal.SIGKILL)
        with IntakeConnection(agent.intake) as intake:
            assert intake.ask(submission(3, batch=1))["accepted"] == 3
        refused = agent.json("quote", "--nonce", "0011223344556677", "-o", str(tmp_path / "q"))
        assert refused["error"]["code"].startswith("TPM_")
        assert agent.json("status")["running"]
