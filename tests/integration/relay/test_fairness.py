"""Producers that always have more to send do not starve one that sends little."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.integration.relay.harness import PATIENCE_S, Peer, RunningIntake
from tests.integration.relay.list_sink import ListSink
from tests.support.anchors import submission


def test_a_small_request_is_answered_while_large_ones_keep_coming(
    intake: RunningIntake, path: Path, sink: ListSink
) -> None:
    stop = threading.Event()
    heavy = [json.dumps(submission(500, 0, f"heavy-{n}")).encode() for n in range(4)]

    def saturate(line: bytes) -> None:
        with Peer(path) as peer:
            batch = 0
            while not stop.is_set():
                numbered = line.replace(b'"batch": 0', b'"batch": %d' % batch)
                peer.send((numbered + b"\n") * 2)  # the second is a repetition
                for _ in range(2):
                    peer.answer()
                batch += 1

    with ThreadPoolExecutor(len(heavy)) as producers:
        running = [producers.submit(saturate, line) for line in heavy]
        try:
            with Peer(path) as peer:
                answers = [peer.ask(submission(1, batch, "light")) for batch in range(20)]
        finally:
            stop.set()
        for producer in running:
            producer.result(PATIENCE_S)  # raises what a producer died of
    final = [answer for answer in answers if answer["ok"]]
    assert all(answer["accepted"] == 1 for answer in final)
    assert {answer.get("code") for answer in answers} <= {None, "OUTCOME_UNKNOWN"}


def test_clients_that_come_at_once_wait_in_the_kernel(path: Path, intake: RunningIntake) -> None:
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert release.wait(PATIENCE_S)

    intake.loop.call_soon_threadsafe(hold)
    assert held.wait(PATIENCE_S)
    peers = []
    try:
        for _ in range(300):  # more than are accepted at once; a full queue would say EAGAIN
            peer = socket.socket(socket.AF_UNIX)
            peers.append(peer)
            peer.setblocking(False)
            peer.connect(str(path))
        release.set()
        for peer in peers:
            peer.settimeout(PATIENCE_S)
            peer.sendall(b'{"op":"status","id":"a"}\n')
        assert all(peer.recv(4096).startswith(b'{"id":"a","ok":true') for peer in peers)
    finally:
        release.set()
        for peer in peers:
            peer.close()
