"""Sentinel clients on the intake socket, byte by byte (docs/protocol.md 15)."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.config import SigningKey, ToolPolicy
from swt3_agent.errors import JournalError
from swt3_agent.protocol.custody import commitment
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.sentinel import Allowance, SentinelSettings
from tests.integration.relay.harness import PATIENCE_S, Peer, RunningIntake, serving
from tests.integration.relay.list_sink import ListSink
from tests.support.anchors import inference_anchor, submission

FINGERPRINT = "b16bf9139c16"
KEY = SigningKey("hmac-sha256", "test-signing-key", "key-1", 3)
SIGNATURE = "f1d6174308e76db6907985ca7a7b28e237e46c7ce150f1bb46dfea3097575dd3"


@dataclass(frozen=True)
class Log:
    """Of as many records as a sink has; no head covers any."""

    sink: ListSink

    @property
    def newest(self) -> int:
        return len(self.sink.records) - 1

    covered = -1
    root = None


@contextmanager
def sentinel(path: Path, sink: ListSink, **settings: Any) -> Iterator[RunningIntake]:
    options = {
        name: settings.pop(name)
        for name in ("clearing_level", "tenant", "limits")
        if name in settings
    }
    chosen = SentinelSettings(log=Log(sink), **settings)
    with serving(path, sink, sentinel=chosen, **options) as running:
        yield running


def ask(peer: Peer, op: str, **members: Any) -> dict[str, Any]:
    answer = peer.ask({"op": op, "id": "12345678", **members})
    assert answer["id"] == "12345678"
    return answer


class TestCheck:
    def test_says_yes_aloud(self, intake: RunningIntake, path: Path) -> None:
        with Peer(path) as peer:
            assert ask(peer, "check", tool="x") == {"id": "12345678", "ok": True, "allowed": True}

    def test_says_no_and_why(self, path: Path, sink: ListSink) -> None:
        policy = ToolPolicy(
            blocklist=("rm*",), rules=({"match": "ls", "action": "log", "reason": "seen"},)
        )
        with sentinel(path, sink, policy=policy) as running, Peer(path) as peer:
            blocked = ask(peer, "check", tool="rm_rf")
            logged = ask(peer, "check", tool="ls")
            assert running.server.counters.violations == {"blocklist": 1, "custom": 1}
        assert (blocked["ok"], blocked["allowed"]) == (True, False)
        violation = blocked["violation"]
        assert violation.pop("timestamp") > 1_700_000_000_000
        assert violation == {
            "rule": "blocklist",
            "tool": "rm_rf",
            "action": "blocked",
            "reason": 'Tool "rm_rf" is on the blocklist',
        }
        assert (logged["allowed"], logged["violation"]["action"]) == (True, "logged")

    def test_a_new_connection_is_no_new_session(self, path: Path, sink: ListSink) -> None:
        policy = ToolPolicy(max_chain_depth=1, max_tokens_per_session=100)
        with sentinel(path, sink, policy=policy):
            with Peer(path) as peer:
                assert ask(peer, "check", tool="a")["allowed"]
                assert ask(peer, "tokens", count=60) == {
                    "id": "12345678",
                    "ok": True,
                    "total": 60,
                    "budget": 100,
                }
            with Peer(path) as peer:
                assert not ask(peer, "check", tool="a")["allowed"]
                assert ask(peer, "tokens", count=40)["total"] == 100
                refused = ask(peer, "check", tool="b")
                assert refused["violation"]["rule"] == "token_budget"

    def test_another_process_has_a_session_of_its_own(self, path: Path, sink: ListSink) -> None:
        with sentinel(path, sink), Peer(path) as peer:
            assert ask(peer, "tokens", count=7)["total"] == 7
            reading, writing = os.pipe()
            if (child := os.fork()) == 0:
                try:
                    with Peer(path) as other:
                        total = ask(other, "tokens", count=1)["total"]
                    os.write(writing, str(total).encode())
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            os.close(writing)
            with os.fdopen(reading) as said:
                assert said.read() == "1"

    def test_tenants_share_nothing(self, tmp_path: Path, sink: ListSink) -> None:
        policy = ToolPolicy(max_velocity="1/600s")
        ours, theirs = tmp_path / "ours.sock", tmp_path / "theirs.sock"
        with (
            sentinel(ours, sink, policy=policy),
            sentinel(theirs, sink, policy=policy, tenant="OTHER"),
            Peer(ours) as here,
            Peer(theirs) as there,
        ):
            ask(here, "tokens", count=5)
            assert ask(here, "check", tool="a")["allowed"]
            assert not ask(here, "check", tool="a")["allowed"]
            assert ask(there, "check", tool="a")["allowed"]
            status = ask(there, "status")
            assert (status["tokens"], status["violations"], status["connections"]) == (0, 0, 1)


class TestSign:
    def test_signs_a_fingerprint_in_the_name_of_the_peer(self, path: Path, sink: ListSink) -> None:
        with sentinel(path, sink, signing=KEY), Peer(path) as peer:
            answer = ask(peer, "sign", payload=FINGERPRINT, agentId="agent-007")
            assert answer["signature"] == SIGNATURE
            assert (answer["algorithm"], answer["keyId"], answer["keyVersion"]) == (
                "hmac-sha256",
                "key-1",
                3,
            )
            alone = ask(peer, "sign", payload=FINGERPRINT)
            assert alone["ok"]
            assert alone["signature"] != SIGNATURE

    def test_a_process_has_one_name_and_not_the_agents(self, path: Path, sink: ListSink) -> None:
        with sentinel(path, sink, signing=KEY, own_agent_id="node"):
            with Peer(path) as peer:
                assert ask(peer, "sign", payload=FINGERPRINT, agentId="node")["code"] == "DENIED"
                assert ask(peer, "sign", payload=FINGERPRINT, agentId="mine")["ok"]
            with Peer(path) as peer:
                assert ask(peer, "sign", payload=FINGERPRINT, agentId="other")["code"] == "DENIED"
                assert ask(peer, "sign", payload=FINGERPRINT, agentId="mine")["ok"]

    def test_a_refused_signature_fixes_no_name(self, path: Path, sink: ListSink) -> None:
        with sentinel(path, sink, signing=KEY), Peer(path) as peer:
            refused = ask(peer, "sign", payload="a prompt", agentId="first")
            assert (refused["ok"], refused["code"]) == (False, "INVALID_REQUEST")
            assert ask(peer, "sign", payload=FINGERPRINT, agentId="second")["ok"]

    def test_without_a_key_it_says_so(self, intake: RunningIntake, path: Path) -> None:
        with Peer(path) as peer:
            answer = ask(peer, "sign", payload=FINGERPRINT)
            assert (answer["ok"], answer["code"]) == (False, "SIGN_UNAVAILABLE")
            assert ask(peer, "status")["ok"]

    def test_ml_dsa_is_rationed(self) -> None:
        now = [0.0]
        allowance = Allowance(10, 2, lambda: now[0])
        assert [allowance.take() for _ in range(3)] == [True, True, False]
        now[0] += 0.1
        assert [allowance.take() for _ in range(2)] == [True, False]


class TestRecord:
    def test_a_witness_is_stored_as_it_would_be_by_submit(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        anchor = inference_anchor()
        payload = json.dumps(anchor)
        with Peer(path) as peer:
            said = ask(peer, "record", fingerprint=anchor["anchor_fingerprint"], payload=payload)
        assert said == {"id": "12345678", "ok": True, "seq": 0}
        kind, provenance, stored = sink.records[0]
        assert (kind, stored) == (Kind.RELAYED, payload.encode())
        assert json.loads(provenance)["pid"] == os.getpid()

    @pytest.mark.parametrize("named", ["000000000000", "anything"])
    def test_the_named_fingerprint_must_be_the_payloads(
        self, named: str, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        with Peer(path) as peer:
            answer = ask(peer, "record", fingerprint=named, payload=json.dumps(inference_anchor()))
        assert (answer["ok"], answer["code"]) == (False, "BAD_FINGERPRINT")
        assert not sink.records

    def test_a_wrong_fingerprint_is_quarantined(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        anchor = inference_anchor(anchor_fingerprint="000000000000")
        with Peer(path) as peer:
            answer = ask(peer, "record", fingerprint="000000000000", payload=json.dumps(anchor))
        assert (answer["ok"], answer["code"]) == (False, "BAD_FINGERPRINT")
        assert [kind for kind, _, _ in sink.records] == [Kind.QUARANTINE]

    def test_a_payload_that_would_keep_the_loop_busy_is_not_decoded(
        self, path: Path, sink: ListSink
    ) -> None:
        values = [0] * 40_000
        anchor = inference_anchor(ai_context={"values": values})
        with sentinel(path, sink, clearing_level=1), Peer(path) as peer:
            named = anchor["anchor_fingerprint"]
            witness = ask(peer, "record", fingerprint=named, payload=json.dumps(anchor))
            other = ask(peer, "record", fingerprint=named, payload=json.dumps(values))
        assert witness["code"] == "BAD_FIELD"
        assert other["ok"]
        assert sink.payloads(Kind.OPAQUE) == [json.dumps(values).encode()]

    @pytest.mark.parametrize("payload", ["plain text", "{}", '{"test":true}', "", "ÄÖ\n"])
    def test_what_is_no_witness_is_kept_as_opaque(
        self, payload: str, path: Path, sink: ListSink
    ) -> None:
        with sentinel(path, sink, clearing_level=1), Peer(path) as peer:
            assert ask(peer, "record", fingerprint=FINGERPRINT, payload=payload)["seq"] == 0
        kind, provenance, stored = sink.records[0]
        assert (kind, stored) == (Kind.OPAQUE, payload.encode())
        assert json.loads(provenance)["status"] == "unparsed"

    @pytest.mark.parametrize("level", [2, 3])
    def test_where_no_content_is_let_out_custody_has_it(
        self, level: int, path: Path, sink: ListSink
    ) -> None:
        with sentinel(path, sink, clearing_level=level), Peer(path) as peer:
            assert ask(peer, "record", fingerprint=FINGERPRINT, payload="a prompt")["ok"]
        kind, provenance, stored = sink.records[0]
        (entry,) = sink.withheld
        assert (kind, stored) == (Kind.OPAQUE, b"")
        assert (entry.original, entry.cleared, entry.level) == (b"a prompt", b"", level)
        assert json.loads(provenance)["original"] == commitment(entry.secret, b"a prompt")

    def test_a_stalled_disk_is_told_in_time_and_as_retryable(
        self, path: Path, sink: ListSink
    ) -> None:
        anchor = inference_anchor()
        limits = IntakeLimits(answer_within_s=0.01)
        with sentinel(path, sink, limits=limits), Peer(path) as peer:
            sink.stall()
            answer = ask(
                peer,
                "record",
                fingerprint=anchor["anchor_fingerprint"],
                payload=json.dumps(anchor),
            )
            sink.release()
        assert (answer["code"], answer["retryable"]) == ("OUTCOME_UNKNOWN", True)

    def test_a_full_disk_leaves_the_connection_usable(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        sink.fail_with = JournalError("DISK_FULL", "no room", remedy="make room", retryable=True)
        anchor = inference_anchor()
        request = {"fingerprint": anchor["anchor_fingerprint"], "payload": json.dumps(anchor)}
        with Peer(path) as peer:
            answer = ask(peer, "record", **request)
            assert (answer["code"], answer["retryable"]) == ("DISK_FULL", True)
            sink.fail_with = None
            assert ask(peer, "record", **request)["ok"]


class TestFlush:
    def test_with_nothing_under_way_it_answers_at_once(
        self, intake: RunningIntake, path: Path, sink: ListSink
    ) -> None:
        with sentinel(path.with_name("other.sock"), sink), Peer(path.with_name("other.sock")) as p:
            assert ask(p, "flush") == {"id": "12345678", "ok": True, "flushedSeq": -1}

    def test_it_waits_for_what_was_sent_before(self, path: Path, sink: ListSink) -> None:
        with sentinel(path, sink), Peer(path) as peer:
            sink.stall()
            peer.send_request(submission(3, 1))
            peer.send_request({"op": "flush", "id": "f"})
            threading.Timer(0.05, sink.release).start()
            assert peer.answer()["accepted"] == 3
            assert peer.answer() == {"id": "f", "ok": True, "flushedSeq": 2}

    def test_a_stall_does_not_keep_it_for_ever(self, path: Path, sink: ListSink) -> None:
        limits = IntakeLimits(answer_within_s=0.01)
        with sentinel(path, sink, limits=limits), Peer(path) as peer:
            sink.stall()
            peer.send_request(submission(1, 1))
            answer = ask_after(peer, {"op": "flush", "id": "f"})
            assert (answer["id"], answer["code"]) == ("f", "OUTCOME_UNKNOWN")
            sink.release()
            peer.socket.settimeout(PATIENCE_S)
            while (answer := peer.ask({"op": "flush", "id": "g"}))["ok"] is False:
                assert answer["code"] == "OUTCOME_UNKNOWN"
            assert answer["flushedSeq"] == 0


def ask_after(peer: Peer, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to ``request``, behind that of one sent before."""
    peer.send_request(request)
    peer.answer()
    return peer.answer()


def test_status_tells_of_this_session_and_this_listener(path: Path, sink: ListSink) -> None:
    with sentinel(path, sink), Peer(path) as peer, Peer(path):
        ask(peer, "tokens", count=3)
        peer.ask(submission(2, 1))
        status = ask(peer, "status")
        assert status.pop("uptime") >= 0
    assert status == {
        "id": "12345678",
        "ok": True,
        "tokens": 3,
        "violations": 0,
        "walSeq": 1,
        "walCheckpoint": -1,
        "connections": 2,
        "protocolVersion": 1,
    }


def test_bad_json_has_no_id_and_one_answer(intake: RunningIntake, path: Path) -> None:
    with Peer(path) as peer:
        peer.send(b'{"op":"check",\n')
        answer = peer.answer()
        assert (answer["id"], answer["ok"], answer["code"]) == ("?", False, "INVALID_REQUEST")
        assert ask(peer, "check", tool="x")["allowed"]


def test_answers_of_all_operations_come_in_order(path: Path, sink: ListSink) -> None:
    requests: list[dict[str, Any]] = []
    for number in range(40):
        anchor = inference_anchor()
        requests += [
            {"op": "check", "tool": "t"},
            {"op": "record", "fingerprint": anchor["anchor_fingerprint"]}
            | {"payload": json.dumps(anchor)},
            submission(2, number),
            {"op": "flush"},
            {"op": "sign", "payload": FINGERPRINT},
        ]
    requests = [{**request, "id": f"{place}"} for place, request in enumerate(requests)]
    with sentinel(path, sink, signing=KEY), Peer(path) as peer:
        peer.send(b"".join(json.dumps(request).encode() + b"\n" for request in requests))
        answers = [peer.answer() for _ in requests]
    assert [answer["id"] for answer in answers] == [request["id"] for request in requests]
    assert all(answer["ok"] for answer in answers)
