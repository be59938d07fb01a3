"""The ledger's interface over HTTP, on real sockets (docs/protocol.md 5.1)."""

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from swt3_agent.daemon.http_server import HttpServer
from swt3_agent.errors import JournalError
from swt3_agent.protocol.fingerprint import mint_fingerprint
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.http_app import MAX_RECORDS, DayLookups, HttpIntake
from swt3_agent.relay.http_guard import Guard
from tests.integration.relay.harness import PATIENCE_S, RunningIntake
from tests.integration.relay.list_sink import ListSink
from tests.support.anchors import inference_anchor

BATCH = "/api/v1/witness/batch"
TOKEN = "axm_local_0123456789"
MAX_BODY = 1 << 20


class HttpListener:
    """What RunningIntake runs in a loop of its own."""

    def __init__(self, intake: HttpIntake, server: HttpServer) -> None:
        self.intake = intake
        self.server = server

    async def start(self) -> None:
        self.intake.start()
        await self.server.start()

    async def stop(self) -> None:
        await self.server.stop()
        self.intake.close()


@contextmanager
def http(
    sock: socket.socket, sink: ListSink, token: str | None = None, **options: Any
) -> Iterator[HttpListener]:
    options = {"tenant": "LOCAL", "clearing_level": 1, "listener": "http", **options}
    intake = HttpIntake(sink, guard=Guard(token), **options)
    sock.listen()
    listener = HttpListener(
        intake, HttpServer(intake.app, sock, name="http", max_body_bytes=MAX_BODY)
    )
    running = RunningIntake(listener)  # type: ignore[arg-type]  # it starts and stops
    running.start()
    try:
        yield listener
    finally:
        running.stop()


@contextmanager
def unix(path: Path, sink: ListSink, **options: Any) -> Iterator[httpx.Client]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        transport = httpx.HTTPTransport(uds=str(path))
        with (
            http(sock, sink, **options),
            httpx.Client(
                transport=transport, base_url="http://agent", timeout=PATIENCE_S
            ) as client,
        ):
            yield client


@contextmanager
def tcp(sink: ListSink) -> Iterator[httpx.Client]:
    with (
        socket.create_server(("127.0.0.1", 0)) as sock,
        http(sock, sink, TOKEN, listener="http-tcp"),
        httpx.Client(
            base_url=f"http://127.0.0.1:{sock.getsockname()[1]}",
            timeout=PATIENCE_S,
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as client,
    ):
        yield client


@pytest.fixture
def client(path: Path, sink: ListSink) -> Iterator[httpx.Client]:
    with unix(path, sink) as client:
        yield client


def post(client: httpx.Client, *anchors: Any, **options: Any) -> httpx.Response:
    return client.post(options.pop("url", BATCH), json={"witnesses": anchors}, **options)


def answer(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/json"
    said: dict[str, Any] = response.json()
    return said


class TestBatches:
    def test_each_record_has_a_receipt_after_the_commit(
        self, client: httpx.Client, sink: ListSink
    ) -> None:
        anchors = [inference_anchor(clearing_level=1) for _ in range(3)]
        body = json.dumps({"witnesses": anchors}, separators=(", ", " : ")).encode()
        response = client.post(BATCH, content=body, headers={"Content-Type": "application/json"})
        said = answer(response)
        assert (response.status_code, said["ok"], said["tenant_id"]) == (200, True, "LOCAL")
        assert (said["total"], said["accepted"], said["rejected"]) == (3, 3, 0)
        for anchor, receipt, (kind, provenance, stored) in zip(
            anchors, said["receipts"], sink.records, strict=True
        ):
            assert stored == json.dumps(anchor, separators=(", ", " : ")).encode()
            assert kind is Kind.RELAYED
            who = json.loads(provenance)
            assert (who["listener"], who["uid"], who["pid"]) == ("http", os.getuid(), os.getpid())
            assert receipt.pop("witnessed_at").endswith("+00:00")
            assert receipt == {
                "procedure_id": "AI-INF.1",
                "verdict": "PASS",
                "swt3_anchor": f"SWT3-E-ONPREM-AI-AIINF1-PASS-{anchor['anchor_epoch']}-"
                f"{anchor['anchor_fingerprint']}",
                "clearing_level": 1,
                "verification_url": f"swt3-agent://record/{hashlib.sha256(stored).hexdigest()}",
                "ok": True,
                "tenant_id": "LOCAL",
            }

    def test_receipts_are_in_the_order_of_the_batch(
        self, client: httpx.Client, sink: ListSink
    ) -> None:
        good = inference_anchor()
        wrong = inference_anchor(anchor_fingerprint="000000000000")
        said = answer(post(client, wrong, good, "a raw prompt", good))
        assert (said["accepted"], said["rejected"]) == (2, 2)
        assert [receipt["ok"] for receipt in said["receipts"]] == [False, True, False, True]
        first, _, third, _ = said["receipts"]
        assert first["error"].startswith("BAD_FINGERPRINT")
        assert (first["procedure_id"], first["swt3_anchor"]) == ("AI-INF.1", "")
        assert third["error"].startswith("BAD_FIELD")
        kinds = [kind for kind, _, _ in sink.records]
        assert kinds == [Kind.RELAYED, Kind.RELAYED, Kind.QUARANTINE, Kind.QUARANTINE]

    def test_a_procedure_without_a_rule_is_pending(self, client: httpx.Client) -> None:
        stamp = 1_774_800_000_000
        anchor = inference_anchor(
            procedure_id="NHI-ID.1",
            anchor_fingerprint=mint_fingerprint("LOCAL", "NHI-ID.1", 1, 1, 0, stamp),
            anchor_epoch=stamp // 1000,
            fingerprint_timestamp_ms=stamp,
        )
        (receipt,) = answer(post(client, anchor))["receipts"]
        assert (receipt["verdict"], receipt["swt3_anchor"], receipt["ok"]) == ("PENDING", "", True)

    @pytest.mark.parametrize("prefix", ["", "/api/v1", "/api/v1/witness", "/any/where"])
    def test_any_path_that_ends_in_it_is_the_endpoint(
        self, prefix: str, client: httpx.Client
    ) -> None:
        assert post(client, inference_anchor(), url=prefix + BATCH).status_code == 200

    def test_no_records_are_no_fault(self, client: httpx.Client) -> None:
        said = answer(post(client))
        assert (said["ok"], said["total"], said["receipts"]) == (True, 0, [])

    def test_sent_again_it_is_stored_again(self, client: httpx.Client, sink: ListSink) -> None:
        anchor = inference_anchor()
        for _ in range(2):
            assert answer(post(client, anchor))["accepted"] == 1
        assert len(sink.records) == 2

    def test_a_long_outage_of_an_sdk_fits_one_request(
        self, client: httpx.Client, sink: ListSink
    ) -> None:
        anchor = inference_anchor()
        said = answer(post(client, *[anchor] * 3000))
        assert (said["accepted"], len(said["receipts"])) == (3000, 3000)
        assert len(sink.records) == 3000

    def test_members_that_nobody_knows_are_passed_over(self, client: httpx.Client) -> None:
        body = {"sdk:version": "1:2", "witnesses": [inference_anchor()], "x": {"witnesses": []}}
        assert answer(client.post(BATCH, json=body))["accepted"] == 1


class TestTrouble:
    @pytest.mark.parametrize(
        ("code", "status"), [("BUSY", 503), ("DISK_FULL", 503), ("JOURNAL_FAILED", 503)]
    )
    def test_what_passes_is_503_and_says_when_to_come_back(
        self, code: str, status: int, client: httpx.Client, sink: ListSink
    ) -> None:
        sink.fail_with = JournalError(code, "not now", remedy="wait", retryable=True)
        response = post(client, inference_anchor())
        assert (response.status_code, answer(response)["ok"]) == (status, False)
        assert int(response.headers["retry-after"]) > 0
        sink.fail_with = None
        assert post(client, inference_anchor()).status_code == 200

    def test_a_store_that_takes_nothing_more_is_503(
        self, client: httpx.Client, sink: ListSink
    ) -> None:
        sink.refuse_with = JournalError("BUSY", "too much", remedy="wait", retryable=True)
        assert post(client, inference_anchor()).status_code == 503

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"{}",
            b'{"payloads":[]}',
            b'{"witnesses":{}}',
            b'{"witnesses":[1],"witnesses":[2]}',
            b'{"witnesses":[NaN]}',
            b'{"witnesses":["\xff"]}',
            b"[" * 100_000,
        ],
    )
    def test_what_is_no_batch_is_400_in_json(
        self, body: bytes, client: httpx.Client, sink: ListSink
    ) -> None:
        response = client.post(BATCH, content=body, headers={"Content-Type": "application/json"})
        assert (response.status_code, answer(response)["ok"]) == (400, False)
        assert not sink.records

    def test_too_much_is_413(self, client: httpx.Client, sink: ListSink) -> None:
        many = post(client, *[0] * (MAX_RECORDS + 1))
        large = client.post(
            BATCH, content=b" " * (MAX_BODY + 1), headers={"Content-Type": "application/json"}
        )
        assert (many.status_code, large.status_code) == (413, 413)
        assert not sink.records

    @pytest.mark.parametrize(
        "headers",
        [
            {"Content-Type": "text/plain"},
            {"Content-Type": ""},
            {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        ],
    )
    def test_anything_but_json_is_415(
        self, headers: Mapping[str, str], client: httpx.Client
    ) -> None:
        assert client.post(BATCH, content=b"{}", headers=headers).status_code == 415

    @pytest.mark.parametrize(
        ("method", "url", "status"),
        [
            ("POST", "/", 404),
            ("POST", BATCH + "/", 404),
            ("GET", BATCH, 405),
            ("GET", "/nothing", 405),
            ("DELETE", BATCH, 405),
        ],
    )
    def test_other_requests_are_refused_in_json(
        self, method: str, url: str, status: int, client: httpx.Client
    ) -> None:
        response = client.request(method, url)
        assert response.status_code == status
        assert answer(response)["ok"] is False

    def test_a_web_page_is_turned_away(self, client: httpx.Client, sink: ListSink) -> None:
        response = post(client, inference_anchor(), headers={"Origin": "https://example.org"})
        assert response.status_code == 403
        assert not sink.records


class TestTcp:
    def test_who_shows_the_token_is_known_by_nothing_else(self, sink: ListSink) -> None:
        with tcp(sink) as client:
            assert answer(post(client, inference_anchor()))["accepted"] == 1
        said = json.loads(sink.records[0][1])
        assert (said["listener"], said["bearer"]) == ("http-tcp", True)
        assert not {"uid", "gid", "pid", "start", "cgroup"} & said.keys()

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Authorization": ""}, 401),
            ({"Authorization": f"Basic {TOKEN}"}, 401),
            ({"Authorization": f"Bearer {TOKEN}x"}, 401),
            ({"Authorization": f"bearer {TOKEN}"}, 200),
            ({"Host": "evil.example"}, 403),
            ({"Host": "127.0.0.1.evil.example:80"}, 403),
            ({"Host": "localhost:1"}, 200),
            ({"Host": "[::1]:1"}, 200),
            ({"Host": "[::1"}, 403),
            ({"Origin": "null"}, 403),
        ],
    )
    @pytest.mark.parametrize("path", [BATCH, "/api/v1/merkle?date=2026-11-22"])
    def test_who_may_come_in(
        self, headers: Mapping[str, str], status: int, path: str, sink: ListSink
    ) -> None:
        with tcp(sink) as client:
            if path == BATCH:
                assert post(client, inference_anchor(), headers=headers).status_code == status
            else:
                found = 404 if status == 200 else status
                assert client.get(path, headers=headers).status_code == found
        assert len(sink.records) == (path == BATCH and status == 200)


class TestDays:
    def test_roots_and_proofs_are_passed_on(self, path: Path, sink: ListSink) -> None:
        asked: list[str] = []

        def look_up(key: str) -> Mapping[str, object] | None:
            asked.append(key)
            return {"found": key} if key in ("2026-11-22", "c059eb5938c0") else None

        with unix(path, sink, days=DayLookups(look_up, look_up)) as client:
            assert answer(client.get("/api/v1/merkle?date=2026-11-22")) == {"found": "2026-11-22"}
            proof = client.get("/api/v1/proof?fingerprint=c059eb5938c0")
            assert answer(proof) == {"found": "c059eb5938c0"}
            missing = client.get("/api/v1/proof?fingerprint=000000000000")
            assert (missing.status_code, answer(missing)["ok"]) == (404, False)
        assert asked == ["2026-11-22", "c059eb5938c0", "000000000000"]

    @pytest.mark.parametrize(
        "url",
        [
            "/api/v1/merkle",
            "/api/v1/merkle?date=2026-02-30",
            "/api/v1/merkle?date=20261122",
            "/api/v1/merkle?date=2026-11-22T00:00:00",
            "/api/v1/proof?fingerprint=C059EB5938C0",
            "/api/v1/proof?fingerprint=c059",
            "/api/v1/proof",
        ],
    )
    def test_a_question_that_cannot_be_meant_is_400(self, url: str, client: httpx.Client) -> None:
        assert client.get(url).status_code == 400

    def test_a_store_that_cannot_answer_is_503(self, path: Path, sink: ListSink) -> None:
        def busy(_: str) -> None:
            raise JournalError("BUSY", "building", remedy="wait", retryable=True)

        with unix(path, sink, days=DayLookups(busy, busy)) as client:
            response = client.get("/api/v1/merkle?date=2026-11-22")
        assert (response.status_code, answer(response)["ok"]) == (503, False)


def test_a_peer_that_leaves_before_the_answer_has_its_records_kept(
    path: Path, sink: ListSink
) -> None:
    body = json.dumps({"witnesses": [inference_anchor()]}).encode()
    head = f"POST {BATCH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    with unix(path, sink) as client:
        sink.stall()
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            peer.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            deadline = time.monotonic() + PATIENCE_S
            while not sink.appends:
                assert time.monotonic() < deadline
                time.sleep(0.001)
        sink.release()
        assert post(client, inference_anchor()).status_code == 200
    assert len(sink.records) == 2
