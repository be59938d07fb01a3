"""What strangers may send, and that it hurts nobody but them."""

import errno
import json
import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from swt3_agent.protocol.record import Kind
from swt3_agent.relay.limits import IntakeLimits
from tests.integration.relay.harness import PATIENCE_S, Peer, RunningIntake, serving
from tests.integration.relay.list_sink import ListSink
from tests.support.anchors import inference_anchor, submission

BAD_REQUESTS = {
    "not JSON": b"hello",
    "nothing": b"",
    "an array": b"[]",
    "cut short": b'{"op":"submit","id":"x","witn',
    "not UTF-8": b'{"op":"submit","id":"x","witnesses":["\xff"]}',
    "nested deeply": b'{"op":"submit","id":"x","witnesses":['
    + b"[" * 10_000
    + b"]" * 10_000
    + b"]}",
    "a repeated key": b'{"op":"submit","id":"x","id":"x","witnesses":[]}',
    "a repeated array": b'{"op":"submit","id":"x","witnesses":[1],"witnesses":[]}',
    "an escaped repeated key": b'{"op":"submit","id":"x","\\u0069d":"x","witnesses":[]}',
    "an unknown key": b'{"op":"submit","id":"x","witnesses":[],"bacth":1}',
    "NaN": b'{"op":"submit","id":"x","witnesses":[],"batch":NaN}',
    "no id": b'{"op":"submit","witnesses":[]}',
    "an endless id": b'{"op":"submit","id":"%b","witnesses":[]}' % (b"x" * 200),
    "an id that is a number": b'{"op":"submit","id":7,"witnesses":[]}',
    "no op": b'{"id":"x","witnesses":[]}',
    "no witnesses": b'{"op":"submit","id":"x"}',
    "witnesses that are none": b'{"op":"submit","id":"x","witnesses":{}}',
    "a client without batch": b'{"op":"submit","id":"x","client":"c","witnesses":[]}',
    "a batch without client": b'{"op":"submit","id":"x","batch":1,"witnesses":[]}',
    "a negative batch": b'{"op":"submit","id":"x","client":"c","batch":-1,"witnesses":[]}',
    "a fractional batch": b'{"op":"submit","id":"x","client":"c","batch":1.5,"witnesses":[]}',
    "an endless batch": b'{"op":"submit","id":"x","client":"c","batch":1%b,"witnesses":[]}'
    % (b"0" * 5000),
    "an unprintable client": b'{"op":"submit","id":"x","client":"\\u0007","batch":1,'
    b'"witnesses":[]}',
    "a client that is half a character": b'{"op":"submit","id":"x","client":"\\ud800","batch":1,'
    b'"witnesses":[]}',
}


def with_member(name: str, value: str) -> bytes:
    """A good anchor with one member replaced or added, as text: JSON libraries would object."""
    anchor = inference_anchor()
    anchor.pop(name, None)
    return json.dumps(anchor)[:-1].encode() + b',"%b":%b}' % (name.encode(), value.encode())


NOT_EVEN_JSON = {
    "NaN": with_member("factor_a", "NaN"),
    "infinity": with_member("factor_a", "Infinity"),
    "a lone surrogate": with_member("cycle_id", '"\\ud800"'),
}

BAD_RECORDS = {
    "beyond a double": with_member("factor_a", "1e999"),
    "endless digits": with_member("factor_a", "9" * 5000),
    "many digits": with_member("factor_a", "9" * 400),
    "beyond a double, unknown key": with_member("new_field", "1e999"),
    "a text for a factor": with_member("factor_a", '"1"'),
    "a level of 4": with_member("clearing_level", "4"),
    "a repeated key": with_member("cycle_id", '"a","cycle_id":"b"'),
    "a repeated key, escaped": with_member("cycle_id", '"a","\\u0063ycle_id":"b"'),
    "a repeated key with escaped colons": with_member(
        "cycle_id", '"\\u003a\\u003A","cycle_id":"b"'
    ),
    "a repeated key inside": with_member("references", '[{"fingerprint":"a","fingerprint":"b"}]'),
    "a repeated unknown key": with_member("new_field", '{"a":{"b":1,"b":2}}'),
    "nested deeply": with_member("new_field", "[" * 40 + "]" * 40),
    "nested very deeply": with_member("new_field", '{"a":' * 500 + "1" + "}" * 500),
    "a wrong epoch": with_member("anchor_epoch", "1"),
    "not an object": b"[1,2]",
    "null": b"null",
}


@pytest.mark.parametrize("line", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_a_bad_request_is_refused_and_the_connection_stays_usable(
    line: bytes, intake: RunningIntake, path: Path, sink: ListSink
) -> None:
    with Peer(path) as peer:
        peer.send(line + b"\n")
        answer = peer.answer()
        assert (answer["ok"], answer["code"]) == (False, "INVALID_REQUEST")
        assert answer["retryable"] is False
        assert answer["error"]
        assert peer.ask(submission(1, 1))["accepted"] == 1
    assert len(sink.records) == 1


SHOW_NO_CONTENT = {"many digits", "a level of 4", "a wrong epoch"}


@pytest.mark.parametrize("fault", BAD_RECORDS)
def test_a_bad_record_does_not_take_its_batch_with_it_and_the_log_keeps_it_if_it_hides_nothing(
    fault: str, path: Path, sink: ListSink
) -> None:
    record, kept = BAD_RECORDS[fault], fault in SHOW_NO_CONTENT
    good = json.dumps(inference_anchor()).encode()
    with serving(path, sink, clearing_level=0), Peer(path) as peer:
        peer.send(b'{"op":"submit","id":"x","witnesses":[%b,%b]}\n' % (record, good))
        answer = peer.answer()
    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    assert (answer["results"][0]["index"], answer["results"][0]["code"]) == (0, "BAD_FIELD")
    assert answer["results"][0]["quarantined"] is True
    assert sink.payloads(Kind.QUARANTINE) == [record if kept else b""]
    assert [entry.original for entry in sink.withheld] == ([] if kept else [record])
    assert sink.payloads(Kind.RELAYED) == [good]


_PROMPT = '"RAW PROMPT of a patient"'
RAW_PROMPTS = {
    "instead of a record": _PROMPT.encode(),
    "for a hash": with_member("ai_prompt_hash", _PROMPT),
    "for a response hash": with_member("ai_response_hash", _PROMPT),
    "for a factor": with_member("factor_a", _PROMPT),
    "for the procedure": with_member("procedure_id", _PROMPT),
    "for a signature": with_member("payload_signature", _PROMPT),
    "for the level": with_member("clearing_level", _PROMPT),
    "as a key": with_member("RAW PROMPT of a patient", "1")[:-1] + b',"factor_b":"x"}',
    "beside a missing factor": with_member("prompt", _PROMPT).replace(b'"factor_b":', b'"f":'),
    "in a repeated key": with_member("cycle_id", f'{_PROMPT},"cycle_id":"b"'),
    "too deep": with_member("ai_context", '{"a":' * 40 + _PROMPT + "}" * 40),
    "where a list belongs": with_member("references", f"[[{_PROMPT}]]"),
}


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("record", RAW_PROMPTS.values(), ids=RAW_PROMPTS.keys())
def test_a_raw_prompt_in_the_wrong_place_never_enters_the_log(
    record: bytes, level: int, path: Path, sink: ListSink
) -> None:
    with serving(path, sink, clearing_level=level), Peer(path) as peer:
        peer.send(b'{"op":"submit","id":"x","client":"c","batch":1,"witnesses":[%b]}\n' % record)
        (result,) = peer.answer()["results"]
    assert (result["code"], result["quarantined"]) == ("BAD_FIELD", True)
    assert not any(b"RAW PROMPT" in part for _, *parts in sink.records for part in parts)
    assert [entry.original for entry in sink.withheld] == [record]
    assert "RAW PROMPT" not in result["error"]


@pytest.mark.parametrize("record", NOT_EVEN_JSON.values(), ids=NOT_EVEN_JSON.keys())
def test_what_no_json_reader_reads_cannot_be_told_from_its_neighbours(
    record: bytes, intake: RunningIntake, path: Path, sink: ListSink
) -> None:
    with Peer(path) as peer:
        peer.send(b'{"op":"submit","id":"x","witnesses":[%b]}\n' % record)
        answer = peer.answer()
        assert (answer["ok"], answer["code"]) == (False, "INVALID_REQUEST")
        assert peer.ask(submission(1, 1))["accepted"] == 1
    assert len(sink.records) == 1


def test_more_than_a_thousand_records_are_too_many(intake: RunningIntake, path: Path) -> None:
    with Peer(path) as peer:
        answer = peer.ask(submission(1001, 1))
        assert (answer["id"], answer["code"]) == ("request-1", "TOO_LARGE")
        request = submission(1000, 2)
        while (answer := peer.ask(request)).get("retryable"):
            assert answer["code"] == "OUTCOME_UNKNOWN"  # a slow machine: the same batch again
        assert answer["accepted"] == 1000


def test_an_oversized_line_is_refused_and_the_connection_stays_usable(
    intake: RunningIntake, path: Path, sink: ListSink
) -> None:
    with Peer(path) as peer:
        peer.send(b'{"op":"submit","id":"' + b"x" * (6 * 1024 * 1024) + b'"}\n')
        answer = peer.answer()
        assert (answer["id"], answer["code"]) == ("?", "TOO_LARGE")
        assert peer.ask(submission(1, 1))["accepted"] == 1
    assert len(sink.records) == 1


def test_a_record_with_endless_members_is_refused(path: Path, sink: ListSink) -> None:
    context = ",".join(f'"k{n}":{n}' for n in range(50_000))
    record = with_member("ai_context", "{" + context + "}")
    with serving(path, sink, clearing_level=1), Peer(path) as peer:
        peer.send(b'{"op":"submit","id":"x","witnesses":[%b]}\n' % record)
        (result,) = peer.answer()["results"]
    assert result["code"] == "BAD_FIELD"
    assert "values" in result["error"]


def test_a_peer_that_dies_inside_a_line_stores_nothing(
    intake: RunningIntake, path: Path, sink: ListSink
) -> None:
    with Peer(path) as peer:
        peer.send(json.dumps(submission(1, 1)).encode())
    with Peer(path) as peer:
        assert peer.ask(submission(1, 2))["first_seq"] == 0
    assert len(sink.records) == 1


def test_a_line_that_the_peer_ends_without_a_newline_is_told_apart(
    intake: RunningIntake, path: Path, sink: ListSink
) -> None:
    with Peer(path) as peer:
        peer.send_request(submission(1, 1))
        peer.send(json.dumps(submission(1, 2)).encode())
        peer.socket.shutdown(1)
        assert peer.answer()["accepted"] == 1
        assert peer.answer()["code"] == "INVALID_REQUEST"
        assert peer.is_closed_by_server()


def test_a_request_may_come_byte_by_byte(intake: RunningIntake, path: Path) -> None:
    with Peer(path) as slow, Peer(path) as quick:
        for byte in json.dumps(submission(1, 1)).encode() + b"\n":
            slow.send(bytes([byte]))
        assert slow.answer()["accepted"] == 1
        assert quick.ask(submission(1, 2))["accepted"] == 1


def test_an_unfinished_request_is_given_up_after_a_while(path: Path, sink: ListSink) -> None:
    limits = IntakeLimits(unfinished_request_timeout_s=0.05)
    with serving(path, sink, limits=limits), Peer(path) as peer:
        peer.send(b'{"op":')
        assert peer.answer()["code"] == "INVALID_REQUEST"
        assert peer.is_closed_by_server()


def test_a_peer_that_never_reads_is_cut_off_and_hurts_nobody(path: Path, sink: ListSink) -> None:
    limits = IntakeLimits(unread_answer_timeout_s=0.2)
    bad = json.dumps({"op": "submit", "id": "x", "witnesses": [0] * 1000}).encode() + b"\n"
    with serving(path, sink, limits=limits) as running, Peer(path) as deaf, Peer(path) as other:
        deaf.socket.setblocking(False)
        sent = 0
        while running.server.counters.connections == 2:
            try:
                sent += deaf.socket.send(bad)
            except BlockingIOError:
                assert other.ask(submission(1, sent))["accepted"] == 1
            except (BrokenPipeError, ConnectionResetError):
                break
        assert other.ask(submission(1, sent + 1))["accepted"] == 1
    assert sent < 4 * limits.max_buffered_bytes


def test_unfinished_requests_cannot_fill_the_memory(path: Path, sink: ListSink) -> None:
    limits = IntakeLimits(max_buffered_bytes=4 * 1024 * 1024)
    piece = b"x" * (1024 * 1024)
    with serving(path, sink, limits=limits):
        peers = [Peer(path) for _ in range(8)]
        for peer in peers[:7]:
            with suppress(BrokenPipeError, ConnectionResetError):
                peer.send(piece)
        assert peers[7].ask(submission(1, 1))["accepted"] == 1
        cut_off = [peer for peer in peers[:7] if _was_cut_off(peer)]
        assert cut_off
        for peer in peers:
            peer.close()


def _was_cut_off(peer: Peer) -> bool:
    peer.socket.settimeout(0.2)
    try:
        return bool(peer.answer()["code"] == "BUSY")
    except (TimeoutError, ConnectionResetError):
        return False


def test_a_thousand_silent_connections_hurt_nobody(path: Path, sink: ListSink) -> None:
    wanted = 1_100
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * wanted + 200:
        pytest.skip(f"the open-file limit is {soft}")
    with serving(path, sink) as running:
        silent = [Peer(path) for _ in range(wanted)]
        with Peer(path) as peer:
            assert peer.ask(submission(5, 1))["accepted"] == 5
        assert running.server.counters.accepted == wanted + 1
        for peer in silent:
            peer.close()


def test_one_connection_too_many_costs_the_longest_silent_one_its_place(
    path: Path, sink: ListSink
) -> None:
    with serving(path, sink, limits=IntakeLimits(max_connections=16)) as running:
        talking = Peer(path)
        assert talking.ask(submission(1, 1))["accepted"] == 1
        silent = [Peer(path) for _ in range(20)]
        assert silent[-1].ask(submission(1, 2))["accepted"] == 1
        assert talking.ask(submission(1, 3))["accepted"] == 1
        assert all(peer.is_closed_by_server() for peer in silent[:5])
        assert running.server.counters.evicted == 5
        for peer in [talking, *silent]:
            peer.close()


def test_connecting_and_closing_at_once_is_normal(
    intake: RunningIntake, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(200):
        Peer(path).close()
    with Peer(path) as peer:
        assert peer.ask(submission(1, 1))["accepted"] == 1
    assert caplog.records == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_outside_of_the_group_is_refused_by_the_kernel(
    intake: RunningIntake, path: Path
) -> None:
    for directory in (path.parent, *path.parents[1:3]):
        directory.chmod(directory.stat().st_mode | 0o011)
    program = "import socket,sys;sys.exit(socket.socket(socket.AF_UNIX).connect_ex(sys.argv[1]))"
    stranger = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c"]
    if subprocess.run([*stranger, ""], check=False, timeout=PATIENCE_S).returncode != 0:
        pytest.skip("other users may not run this interpreter")
    ended = subprocess.run([*stranger, program, str(path)], check=False, timeout=PATIENCE_S)
    assert ended.returncode == errno.EACCES
