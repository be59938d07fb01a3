"""One POST to a real HTTP server: what is on the wire, and what follows when it misbehaves."""

import asyncio
import contextlib
import gc
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.cookiejar import Cookie
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.errors import ConfigError
from swt3_agent.relay.delivery.address import Address
from swt3_agent.relay.delivery.answers import Keep, Outcome, Refuse, Settled, Stop
from swt3_agent.relay.delivery.batches import Batch, Item
from swt3_agent.relay.delivery.ledger import MAX_ANSWER_BYTES, PATH, HttpLedger
from tests.support.anchors import inference_anchor
from tests.support.certificates import Authority
from tests.support.ledger import API_KEY, HEADERS, Ledger, Trouble


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger() as running:
        yield running


def batch_of(count: int = 3) -> Batch:
    items = []
    for seq in range(count):
        anchor = inference_anchor()
        payload = json.dumps(anchor, indent=1, ensure_ascii=False).encode()  # as no encoder of ours
        items.append(Item(seq, payload, anchor["anchor_fingerprint"], "PASS"))
    return Batch(0, count, tuple(items))


def address_of(ledger: Ledger, **changes: Any) -> Address:
    return replace(Address(ledger.endpoint, API_KEY, timeout_s=10.0), **changes)


def post(address: Address, batch: Batch | None = None) -> Outcome:
    sent = batch or batch_of()

    async def send() -> Outcome:
        async with HttpLedger(address) as http:
            return await http.post(sent.body(), sent.items)

    return asyncio.run(send())


def fault_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Keep), outcome
    return outcome.fault.code


def test_a_batch_is_posted_as_the_protocol_says_and_settled(ledger: Ledger) -> None:
    batch = batch_of()
    outcome = post(address_of(ledger), batch)
    assert isinstance(outcome, Settled)
    assert [answer.ok for answer in outcome.answers] == [True] * 3
    [request] = ledger.posts
    assert request.path == PATH
    assert request.headers.keys() == HEADERS
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == f"Bearer {API_KEY}"
    assert request.headers["connection"] == "close"
    assert request.body == batch.body()
    assert ledger.stored == [item.payload for item in batch.items]


def test_an_endpoint_may_have_a_path_and_a_slash_at_its_end(ledger: Ledger) -> None:
    post(address_of(ledger, endpoint=f"{ledger.endpoint}/gateway/"))
    assert ledger.posts[0].path == f"/gateway{PATH}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_token_stays(ledger: Ledger, status: int) -> None:
    with Ledger() as elsewhere:
        ledger.always = Trouble(status, headers={"Location": elsewhere.endpoint + PATH})
        assert fault_of(post(address_of(ledger))) == "LEDGER_REDIRECTS"
        assert elsewhere.posts == []


def test_a_redirect_to_what_is_no_address_is_a_redirect_all_the_same(ledger: Ledger) -> None:
    ledger.always = Trouble(302, headers={"Location": "\x7f"})
    assert fault_of(post(address_of(ledger))) == "LEDGER_REDIRECTS"


def test_cookies_are_neither_kept_nor_sent(ledger: Ledger) -> None:
    """A ledger could have the agent remember ever more of them."""
    sent = batch_of()

    async def send_twice() -> None:
        async with HttpLedger(address_of(ledger)) as http:
            for _ in range(2):
                await http.post(sent.body(), sent.items)
            cookies = [held for held in gc.get_objects() if isinstance(held, Cookie)]
            assert "seen" not in {cookie.name for cookie in cookies}

    ledger.always = Trouble(503, headers={"Set-Cookie": "seen=1; Max-Age=1000"})
    asyncio.run(send_twice())
    assert [post.headers.keys() for post in ledger.posts] == [HEADERS] * 2


def test_proxies_of_the_environment_do_not_see_the_token(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger() as proxy:
        for variable in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.endpoint)
        assert isinstance(post(address_of(ledger)), Settled)
        assert proxy.posts == []


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (Trouble(500), "LEDGER_BUSY"),
        (Trouble(503, b"<html>", {"Retry-After": "7"}), "LEDGER_BUSY"),
        (Trouble(404), "LEDGER_UNEXPECTED"),
        (Trouble(200, b"<html>welcome</html>"), "LEDGER_BAD_ANSWER"),
        (Trouble(204), "LEDGER_BAD_ANSWER"),
        (Trouble(200, b'{"receipts":[]}'), "RECEIPT_MISMATCH"),
        (Trouble(drops=True), "LEDGER_BROKE_OFF"),
        (Trouble(200, b'{"receipts":[' + b" " * 1000, cuts=True), "LEDGER_BROKE_OFF"),
        (Trouble(200, b" " * (MAX_ANSWER_BYTES + 1)), "LEDGER_BAD_ANSWER"),
    ],
)
def test_trouble_keeps_the_batch(ledger: Ledger, trouble: Trouble, code: str) -> None:
    ledger.always = trouble
    outcome = post(address_of(ledger))
    assert fault_of(outcome) == code
    if "Retry-After" in trouble.headers:
        assert isinstance(outcome, Keep)
        assert outcome.retry_after_s == 7


def test_a_key_that_is_not_accepted_and_bodies_that_are_not_liked(ledger: Ledger) -> None:
    assert isinstance(post(address_of(ledger, api_key="axm_other")), Stop)
    ledger.max_bytes = 100
    assert isinstance(post(address_of(ledger)), Refuse)


def test_a_receipt_for_another_anchor_settles_nothing(ledger: Ledger) -> None:
    def exchanged(answer: dict[str, Any]) -> Any:
        return {**answer, "receipts": answer["receipts"][::-1]}

    ledger.alter = exchanged
    assert fault_of(post(address_of(ledger))) == "RECEIPT_MISMATCH"


def test_a_ledger_that_does_not_answer_is_given_up(ledger: Ledger) -> None:
    ledger.always = Trouble(hangs=True)
    assert fault_of(post(address_of(ledger, timeout_s=0.3))) == "LEDGER_TIMEOUT"


def test_an_answer_that_drips_is_given_up_too() -> None:
    """No single read is too slow, but the whole is: the time-out is for all of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert fault_of(post(Address(endpoint, API_KEY, timeout_s=0.5))) == "LEDGER_TIMEOUT"
        thread.join()


def drip(server: socket.socket) -> None:
    """Answer with a byte now and then until the other side has had enough."""
    connection, _ = server.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.02)


def test_a_ledger_that_is_not_there_is_told_from_one_whose_name_is_not_known() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    nobody = Address(f"http://127.0.0.1:{port}", API_KEY)
    assert fault_of(post(nobody)) == "LEDGER_UNREACHABLE"
    nowhere = Address("http://ledger.invalid", API_KEY)
    assert fault_of(post(nowhere)) == "LEDGER_NAME"


def test_a_key_that_the_ledger_echoes_is_not_passed_on(ledger: Ledger) -> None:
    ledger.always = Trouble(400, f"bad token {API_KEY}".encode())
    outcome = post(address_of(ledger))
    assert isinstance(outcome, Refuse)
    assert outcome.fault.detail == "the ledger answered 400: bad token [removed]"
    assert API_KEY not in repr(address_of(ledger))


def test_only_the_private_authority_is_trusted(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    with Ledger(tls=authority.certify("ledger")) as ledger:
        assert isinstance(post(address_of(ledger, ca=authority.certificate)), Settled)
        for ca in (stranger.certificate, None):
            assert fault_of(post(address_of(ledger, ca=ca))) == "LEDGER_TLS"
        assert len(ledger.posts) == 1, "the token must not reach who is not trusted"


def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with Ledger(tls=authority.certify("ledger", "127.0.0.2")) as ledger:
        assert fault_of(post(address_of(ledger, ca=authority.certificate))) == "LEDGER_TLS"


def test_a_client_certificate_is_shown_where_the_ledger_wants_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    node = authority.certify("node")
    with Ledger(tls=authority.certify("ledger"), clients=authority) as ledger:
        address = address_of(ledger, ca=authority.certificate)
        known = replace(address, certificate=node.certificate, key=node.key)
        assert isinstance(post(known), Settled)
        assert fault_of(post(address)) in ("LEDGER_TLS", "LEDGER_BROKE_OFF")
        assert len(ledger.posts) == 1


def test_certificates_that_cannot_be_used_are_a_fault_of_the_settings(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("not a certificate")
    unusable: list[dict[str, Any]] = [
        {"ca": tmp_path / "absent.pem"},
        {"ca": rubbish},
        {"certificate": rubbish, "key": rubbish},
    ]
    for changes in unusable:
        with pytest.raises(ConfigError) as raised:
            HttpLedger(replace(Address("https://ledger.example", API_KEY), **changes))
        assert raised.value.code == "LEDGER_TLS_FILES"


@pytest.mark.parametrize(
    "endpoint",
    ["", "ledger.example", "ftp://ledger.example", "https://", "https://user:pw@ledger.example"],
)
def test_an_address_that_is_none_is_a_fault_of_the_settings(endpoint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        HttpLedger(Address(endpoint, API_KEY))
    assert raised.value.code == "LEDGER_ADDRESS"


@pytest.mark.parametrize("key", ["", "axm_ü", "axm_a\r\nHost: evil", "axm a"])
def test_a_key_that_is_none_is_refused_unshown(key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        HttpLedger(Address("https://ledger.example", key))
    assert raised.value.code == "LEDGER_KEY"
    assert not key or key not in str(raised.value)
