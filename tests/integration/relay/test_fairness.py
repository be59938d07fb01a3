"""Producers that always have more to send do not starve one that sends little."""

import json
import threading
from pathlib import Path

from tests.integration.relay.harness import Peer, RunningIntake
from tests.integration.relay.list_sink import ListSink
from tests.support.anchors import submission


def test_a_small_request_is_answered_while_large_ones_keep_coming(
    intake: RunningIntake, path: Path, sink: ListSink
) -> None:
    stop = threading.Event()
    heavy = [json.dumps(submission(500, 0, f"heavy-{n}")).encode() for n in range(4)]

    def saturate(line: bytes, client: int) -> None:
        with Peer(path) as peer:
            batch = 0
            while not stop.is_set():
                numbered = line.replace(b'"batch": 0', b'"batch": %d' % batch)
                peer.send((numbered + b"\n") * 2)  # the second is a repetition
                for _ in range(2):
                    peer.answer()
                batch += 1

    threads = [threading.Thread(target=saturate, args=(line, n)) for n, line in enumerate(heavy)]
    for thread in threads:
        thread.start()
    with Peer(path) as peer:
        answers = [peer.ask(submission(1, batch, "light")) for batch in range(20)]
    stop.set()
    for thread in threads:
        thread.join()
    final = [answer for answer in answers if answer["ok"]]
    assert all(answer["accepted"] == 1 for answer in final)
    assert {answer.get("code") for answer in answers} <= {None, "OUTCOME_UNKNOWN"}
