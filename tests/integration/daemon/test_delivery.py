"""Delivery of a real daemon to a real HTTP server: nothing is lost, whatever happens to either."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.daemon import control
from tests.support.agent import AgentProcess, IntakeConnection
from tests.support.anchors import inference_anchor, submission
from tests.support.certificates import Authority
from tests.support.ledger import API_KEY, Ledger, Trouble

PATIENCE_S = 20.0


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger() as running:
        yield running


def agent_of(
    root: Path, endpoint: str, arguments: tuple[str, ...] = (), **environment: str
) -> AgentProcess:
    """A daemon at level 1 that delivers to ``endpoint``; not started."""
    return AgentProcess(
        root,
        arguments=arguments,
        **{
            "SWT3_ENDPOINT": endpoint,
            "SWT3_API_KEY": API_KEY,
            "SWT3_CLEARING_LEVEL": "1",
            **environment,
        },
    )


def configured(root: Path, text: str) -> tuple[str, str]:
    """Arguments of `run` with this agent.yaml."""
    file = root / "agent.yaml"
    file.write_text(text)
    file.chmod(0o600)
    return ("--config", str(file))


def submit(agent: AgentProcess, count: int, batch: int) -> list[str]:
    """Fingerprints of a batch that was accepted."""
    request = submission(count, batch)
    with IntakeConnection(agent.intake) as intake:
        answer = intake.ask(request)
    assert answer["accepted"] == count, answer
    return [witness["anchor_fingerprint"] for witness in request["witnesses"]]


def await_queue(agent: AgentProcess, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first answer of `queue` that is as ``wanted``."""
    control_socket = agent.intake.with_name("control.sock")
    deadline = time.monotonic() + PATIENCE_S
    while not wanted(queue := control.call(control_socket, "queue", {}, PATIENCE_S)):
        assert time.monotonic() < deadline, queue
        time.sleep(0.02)
    return dict(queue)


def is_drained(queue: dict[str, Any]) -> bool:
    return bool(queue["backlog"] == 0)


def forwarded_payloads(agent: AgentProcess) -> Counter[str]:
    """The anchors of the log as canonical texts, to compare with what a ledger holds."""
    return Counter(
        json.dumps(record["payload"], sort_keys=True)
        for record in agent.records()
        if record["kind"] in ("minted", "relayed")
    )


def held_by(ledger: Ledger) -> Counter[str]:
    return Counter(json.dumps(json.loads(record), sort_keys=True) for record in ledger.stored)


def test_a_ledger_that_is_lost_for_a_while_gets_everything_in_the_end(tmp_path: Path) -> None:
    """Down at the start, there, away, and back: each anchor arrives, and its receipt is kept."""
    with Ledger() as first:
        port, endpoint = first.port, first.endpoint
    with agent_of(tmp_path, endpoint) as agent:
        wanted = submit(agent, 5, batch=0)
        queue = await_queue(agent, lambda queue: bool(queue["error"]))
        assert queue["error"]["code"] == "LEDGER_UNREACHABLE"
        assert queue["error"]["remedy"]
        assert queue["lane"] == "backing-off"
        assert queue["backlog"] >= 5
        assert queue["oldest"] is not None
        with Ledger(port=port) as ledger:
            agent.cli("queue", "resume")
            ledger.await_records(wanted)
            wanted += submit(agent, 5, batch=1)
            ledger.await_records(wanted)
            await_queue(agent, is_drained)
            stored = list(ledger.stored)
        wanted += submit(agent, 5, batch=2)
        await_queue(agent, lambda queue: bool(queue["error"]))
        with Ledger(port=port) as ledger:
            agent.cli("queue", "resume")
            ledger.await_records(wanted[10:])
            queue = await_queue(agent, is_drained)
            ledger.stored[:0] = stored
            assert held_by(ledger) == forwarded_payloads(agent)
        assert queue["error"] is None
        assert queue["refused"] == queue["withheld"] == queue["differing"] == 0
        assert queue["ledger"] == f"127.0.0.1:{port}"
        assert queue["last_success"] is not None
        receipts = [record["payload"] for record in agent.records() if record["kind"] == "receipt"]
        tokens = {one["token"].rpartition("-")[2] for said in receipts for one in said["receipts"]}
        assert set(wanted) <= tokens
        code, log = agent.stop()
        assert code == 0
        assert "DELIVERY_FAILED" in log
        assert "DELIVERY_BACK" in log
        stopped = agent.json("queue")
        assert (stopped["lane"], stopped["backlog"]) == ("not-running", 0)
        assert stopped["settled"] == queue["settled"]
        assert agent.cli("fsck").returncode == 0


def test_an_answer_that_is_lost_has_the_same_bytes_sent_again(
    tmp_path: Path, ledger: Ledger
) -> None:
    ledger.troubles.append(Trouble(stores=True, drops=True))
    with agent_of(tmp_path, ledger.endpoint) as agent:
        wanted = submit(agent, 3, batch=0)
        ledger.await_records(wanted)
        await_queue(agent, is_drained)
        assert ledger.posts[0].body == ledger.posts[1].body
        payloads = forwarded_payloads(agent)
    repeated = {record for record, count in Counter(ledger.stored).items() if count == 2}
    assert repeated
    assert held_by(ledger).keys() == payloads.keys()


def test_kill_9_in_the_middle_of_delivery_loses_nothing(tmp_path: Path, ledger: Ledger) -> None:
    small = configured(tmp_path, "agent: {ledger: {batch_records: 20}}\n")
    agent = agent_of(tmp_path, ledger.endpoint, small)
    wanted: list[str] = []
    with agent:
        for number in range(3):
            wanted += submit(agent, 400, batch=number)
            seen = len(ledger.posts)
            ledger.await_posts(seen + 5)
            agent.kill()
            agent.start()
        ledger.await_records(wanted)
        await_queue(agent, is_drained)
        payloads = forwarded_payloads(agent)
    assert held_by(ledger).keys() == payloads.keys()
    assert set(payloads.values()) == {1}
    sizes = [post.body.count(b"anchor_fingerprint") for post in ledger.posts]
    assert max(sizes) == 20
    assert len(ledger.stored) - len(payloads) <= 3 * 20, "more was sent again than was under way"


def test_what_the_ledger_refuses_is_put_aside_listed_and_sent_again_on_demand(
    tmp_path: Path, ledger: Ledger
) -> None:
    with agent_of(tmp_path, ledger.endpoint) as agent:
        request = submission(8, batch=0)
        fingerprints = [witness["anchor_fingerprint"] for witness in request["witnesses"]]
        ledger.poison.add(fingerprints[2])
        ledger.rejected.add(fingerprints[5])
        with IntakeConnection(agent.intake) as intake:
            assert intake.ask(request)["accepted"] == 8
        ledger.await_records(set(fingerprints) - ledger.poison - ledger.rejected)
        queue = await_queue(agent, is_drained)
        assert queue["refused"] == 2
        reasons = {one["error"] for one in queue["refused_records"]}
        assert reasons == {
            'the ledger answered 422: {"error":"signature rejected"}',
            "not liked",
        }
        shown = agent.cli("queue").stdout
        assert "not liked" in shown
        assert agent.cli("queue", "retry", "0").returncode == 2
        ledger.poison.clear()
        ledger.rejected.clear()
        assert agent.json("queue", "retry", "all")["retried"] == 2
        ledger.await_records(fingerprints)
        await_queue(agent, lambda queue: bool(queue["refused"] == 0))
        shown = agent.json("queue")
        assert (shown["schema"], shown["refused_records"]) == ("swt3-agent/queue/1", [])


def test_a_key_that_is_not_accepted_stops_the_lane_until_it_is_told_to_go_on(
    tmp_path: Path, ledger: Ledger
) -> None:
    ledger.always = Trouble(401, f'{{"error":"no such key {API_KEY}"}}'.encode())
    with agent_of(tmp_path, ledger.endpoint) as agent:
        wanted = submit(agent, 2, batch=0)
        queue = await_queue(agent, lambda queue: bool(queue["lane"] == "stopped"))
        assert queue["error"]["code"] == "LEDGER_DENIED"
        assert agent.json("status")["delivery"]["error"]["code"] == "LEDGER_DENIED"
        ledger.always = None
        assert agent.json("queue", "resume")["resumed"] is True
        ledger.await_records(wanted)
        ledger.always = Trouble(500, b"Authorization: Bearer " + API_KEY.encode())
        submit(agent, 2, batch=1)
        await_queue(agent, lambda queue: bool(queue["error"]))
        shown = agent.cli("queue").stdout + agent.cli("status").stdout + agent.cli("config").stdout
        assert API_KEY not in shown
        _, log = agent.stop()
    assert "DELIVERY_STOPPED" in log
    assert API_KEY not in log


def test_a_ledger_that_hangs_does_not_hold_up_the_stop(tmp_path: Path, ledger: Ledger) -> None:
    ledger.always = Trouble(hangs=True)
    with agent_of(tmp_path, ledger.endpoint) as agent:
        ledger.await_posts(1)
        code, log = agent.stop()
        assert code == 0, log
        assert agent.json("queue")["settled"] == 0


def test_records_that_hold_more_than_the_level_allows_now_stay_here(
    tmp_path: Path, ledger: Ledger
) -> None:
    agent = AgentProcess(tmp_path, SWT3_CLEARING_LEVEL="1")
    with agent:
        open_one = inference_anchor(clearing_level=1, ai_model_id="model-a")
        assert agent.submit(0, open_one)["accepted"] == 1
        queue = agent.json("queue")
        assert (queue["lane"], queue["ledger"]) == ("none", None)
        assert agent.cli("queue", "resume").returncode == 2
        agent.stop()
        agent.environment.update(
            SWT3_ENDPOINT=ledger.endpoint, SWT3_API_KEY=API_KEY, SWT3_CLEARING_LEVEL="2"
        )
        agent.start()
        wanted = submit(agent, 3, batch=1)
        ledger.await_records(wanted)
        queue = await_queue(agent, is_drained)
        assert queue["withheld"] >= 1
        assert open_one["anchor_fingerprint"] not in ledger.fingerprints()
        withheld = [
            part["reason"]
            for record in agent.records()
            if record["kind"] == "receipt"
            for part in record["payload"].get("withheld", ())
        ]
        assert set(withheld) == {"LEVEL_RAISED"}


def test_the_private_authority_and_the_client_certificate_of_the_settings_are_used(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    node = authority.certify("node")
    settings = {
        "ca": str(authority.certificate),
        "certificate": str(node.certificate),
        "key": str(node.key),
    }
    arguments = configured(tmp_path, f"agent: {json.dumps({'ledger': settings})}\n")
    node.key.chmod(0o600)
    with (
        Ledger(tls=authority.certify("ledger"), clients=authority) as ledger,
        agent_of(tmp_path, ledger.endpoint, arguments) as agent,
    ):
        assert ledger.endpoint.startswith("https://")
        ledger.await_records(submit(agent, 3, batch=0))
        await_queue(agent, is_drained)
