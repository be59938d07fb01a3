"""A ledger over real HTTP that takes batches as the protocol says, and misbehaves on request.

It recomputes fingerprints and keeps the bytes of what it accepted, so that tests can compare them
with what the agent holds.
"""

import json
import socket
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from swt3_agent.protocol.fingerprint import match_fingerprint
from swt3_agent.protocol.procedures import judge
from tests.support.certificates import Authority, Certified

PATH = "/api/v1/witness/batch"
API_KEY = "axm_test_0123456789abcdef"
HEADERS = {"host", "content-length", "content-type", "authorization", "connection"}
"""The headers of docs/protocol.md 5.1 with those that HTTP itself wants."""
_PATIENCE_S = 20.0
_HANG_S = 600.0


@dataclass(frozen=True, slots=True)
class Post:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Trouble:
    """How one POST is answered instead of well.

    ``status`` and ``body`` are answered as they are, and ``headers`` with them. ``stores`` says
    whether the records were taken all the same. ``drops`` closes the connection without an answer,
    ``cuts`` in the middle of it; ``hangs`` answers only when the ledger stops.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    stores: bool = False
    drops: bool = False
    cuts: bool = False
    hangs: bool = False


Alter = Callable[[dict[str, Any]], Any]


class Ledger:
    """Listens on loopback; use it as a context manager.

    ``troubles`` are worked off one a POST; ``always`` holds for every POST. ``poison`` are
    fingerprints that a batch is refused for with 422, ``rejected`` those that get a receipt that
    says no, ``max_bytes`` is answered with 413 where a body is longer, and ``alter`` changes the
    answer to a batch that was taken.
    """

    def __init__(
        self,
        *,
        tenant: str = "LOCAL",
        port: int = 0,
        tls: Certified | None = None,
        clients: Authority | None = None,
    ) -> None:
        self.tenant = tenant
        self.stored: list[bytes] = []
        """Records that were accepted: their bytes, in order, repetitions included."""
        self.posts: list[Post] = []
        self.troubles: deque[Trouble] = deque()
        self.always: Trouble | None = None
        self.poison: set[str] = set()
        self.rejected: set[str] = set()
        self.max_bytes: int | None = None
        self.alter: Alter = lambda answer: answer
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._server = _Server(("127.0.0.1", port), self)
        if tls is not None:
            self._server.socket = _over_tls(self._server.socket, tls, clients)
        self._scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> "Ledger":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def await_that(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until ``condition`` holds, looking again at each POST."""
        deadline = time.monotonic() + _PATIENCE_S
        with self._changed:
            while not condition():
                assert time.monotonic() < deadline, f"{what} never came; {self.summary()}"
                self._changed.wait(0.05)

    def await_records(self, fingerprints: Iterable[str]) -> None:
        """Wait until all of these are stored."""
        wanted = set(fingerprints)
        self.await_that(lambda: wanted <= self.fingerprints().keys(), f"{len(wanted)} records")

    def await_posts(self, count: int) -> None:
        """Wait until so many POSTs came."""
        self.await_that(lambda: len(self.posts) >= count, f"{count} POSTs")

    def fingerprints(self) -> Counter[str]:
        """How often each was stored."""
        return Counter(json.loads(record)["anchor_fingerprint"] for record in list(self.stored))

    def summary(self) -> str:
        return f"{len(self.posts)} POSTs came, {len(self.stored)} records are stored"

    def answer(self, post: Post) -> Trouble:
        """What a POST is answered with; records that are taken are kept."""
        with self._changed:
            self.posts.append(post)
            trouble = self.troubles.popleft() if self.troubles else self.always
            if trouble is None or trouble.stores:
                good = self._take(post)
                trouble = trouble or good
            self._changed.notify_all()
        if trouble.hangs:
            self._stopping.wait(_HANG_S)
        return trouble

    def _take(self, post: Post) -> Trouble:
        if post.headers.get("authorization") != f"Bearer {API_KEY}":
            return Trouble(401, b'{"error":"who are you?"}')
        if self.max_bytes is not None and len(post.body) > self.max_bytes:
            return Trouble(413)
        records = split_witnesses(post.body)
        witnesses = [json.loads(record) for record in records]
        if self.poison & {witness["anchor_fingerprint"] for witness in witnesses}:
            return Trouble(422, b'{"error":"signature rejected"}')
        receipts = [self._receipt(witness) for witness in witnesses]
        self.stored += [
            record for record, said in zip(records, receipts, strict=True) if said["ok"]
        ]
        accepted = sum(receipt["ok"] for receipt in receipts)
        answer = {
            "ok": True,
            "tenant_id": self.tenant,
            "total": len(receipts),
            "accepted": accepted,
            "rejected": len(receipts) - accepted,
            "receipts": receipts,
        }
        return Trouble(200, json.dumps(self.alter(answer)).encode())

    def _receipt(self, witness: dict[str, Any]) -> dict[str, Any]:
        fingerprint, procedure = witness["anchor_fingerprint"], witness["procedure_id"]
        a, b, c = (witness[f"factor_{letter}"] for letter in "abc")
        timestamp_ms = witness["fingerprint_timestamp_ms"]
        error = None
        if match_fingerprint(self.tenant, procedure, a, b, c, timestamp_ms, fingerprint) is None:
            error = "fingerprint does not recompute"
        elif fingerprint in self.rejected:
            error = "not liked"
        verdict = judge(procedure, a, b, c)
        said = "PASS" if verdict is None else verdict.value
        code = procedure.replace("-", "").replace(".", "")
        receipt = {
            "procedure_id": procedure,
            "verdict": said,
            "swt3_anchor": f"SWT3-E-TEST-AI-{code}-{said}-{timestamp_ms // 1000}-{fingerprint}",
            "clearing_level": witness["clearing_level"],
            "witnessed_at": "2026-03-29T16:00:00Z",
            "verification_url": "https://ledger.example/verify",
            "ok": error is None,
        }
        return receipt if error is None else {**receipt, "error": error}


def split_witnesses(body: bytes) -> list[bytes]:
    """The records of a batch, as the bytes they came as."""
    prefix, decoder = '{"witnesses":[', json.JSONDecoder()
    text = body.decode()
    assert text.startswith(prefix), text[:80]
    assert text.endswith("]}"), text[-80:]
    at, records = len(prefix), []
    while text[at] != "]":
        _, end = decoder.raw_decode(text, at)
        records.append(text[at:end].encode())
        at = end + (text[end] == ",")
    return records


def _over_tls(
    listening: socket.socket, server: Certified, clients: Authority | None
) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients.certificate)
    return context.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, address: tuple[str, int], ledger: Ledger) -> None:
        self.ledger = ledger
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away, or one without a certificate, is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = _PATIENCE_S

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        trouble = self.server.ledger.answer(Post(self.path, headers, body))
        self.close_connection = True
        if trouble.drops or trouble.hangs:
            return
        self.send_response(trouble.status)
        for name, value in trouble.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(trouble.body)))
        self.end_headers()
        self.wfile.write(trouble.body[: len(trouble.body) // 2] if trouble.cuts else trouble.body)

    def do_GET(self) -> None:
        """Who follows a redirect would come with GET: that counts as a POST that came here."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.ledger.answer(Post(self.path, headers, b""))
        self.send_error(404)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""
