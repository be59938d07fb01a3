"""The client against a real intake: delivered once, never blocking, drops in the evidence."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swt3_agent.client import Client, ClientSettings, ClientStats
from swt3_agent.protocol.record import Kind
from tests.integration.relay.harness import PATIENCE_S, RunningIntake, serving
from tests.integration.relay.list_sink import ListSink

MakeClient = Callable[..., Client]


@pytest.fixture
def make_client(path: Path) -> Iterator[MakeClient]:
    made: list[Client] = []

    def make(**options: int) -> Client:
        made.append(Client(ClientSettings(socket=str(path), clearing_level=3), **options))
        return made[-1]

    yield make
    for client in made:
        client.close(0)


def _emit(client: Client, count: int) -> None:
    for number in range(count):
        client.emit("AI-INF.1", 1, number, 1, model_id="tool")


def _stored_factors(sink: ListSink) -> list[int]:
    return [json.loads(payload)["factor_b"] for payload in sink.payloads(Kind.RELAYED)]


def test_everything_emitted_is_stored_once_and_in_order(
    intake: RunningIntake, sink: ListSink, make_client: MakeClient
) -> None:
    client = make_client()
    _emit(client, 2000)
    assert client.flush(PATIENCE_S)
    assert client.stats() == ClientStats(2000, 2000, 0, 0, 0)
    assert _stored_factors(sink) == list(range(2000))


def test_many_threads_may_emit(
    intake: RunningIntake, sink: ListSink, make_client: MakeClient
) -> None:
    client = make_client()
    with ThreadPoolExecutor(4) as threads:
        emitting = [threads.submit(_emit, client, 500) for _ in range(4)]
        for one in emitting:
            one.result(PATIENCE_S)
    assert client.flush(PATIENCE_S)
    assert client.stats().delivered == 2000
    assert len(sink.records) == 2000


def test_a_malformed_anchor_is_counted_and_costs_no_other_its_place(
    intake: RunningIntake,
    sink: ListSink,
    make_client: MakeClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = make_client()
    client.emit("AI-INF.1", 1, 0, 1)
    client.emit("nonsense", 1, 1, 1)
    client.emit("nonsense", 1, 1, 1)
    client.emit("AI-INF.1", 1, 2, 1)
    assert client.flush(PATIENCE_S)
    assert client.stats() == ClientStats(4, 2, 2, 0, 0)
    assert _stored_factors(sink) == [0, 2]
    assert len(caplog.records) == 1


def test_what_the_agent_refuses_is_counted(
    path: Path, sink: ListSink, make_client: MakeClient
) -> None:
    with serving(path, sink, tenant="ANOTHER"):
        client = make_client()
        _emit(client, 3)
        assert client.flush(PATIENCE_S)
        assert client.stats() == ClientStats(3, 0, 3, 0, 0)
        client.close(PATIENCE_S)


def test_a_dead_agent_blocks_nobody_and_its_return_is_noticed(
    path: Path, sink: ListSink, make_client: MakeClient
) -> None:
    client = make_client()
    _emit(client, 100)
    assert not client.flush(0.05)
    assert client.stats().pending == 100
    with serving(path, sink):
        assert client.flush(PATIENCE_S)
        assert client.stats().delivered == 100
        client.close(PATIENCE_S)
    assert _stored_factors(sink) == list(range(100))


def test_drops_are_counted_and_anchored_once_when_the_agent_is_back(
    path: Path, sink: ListSink, make_client: MakeClient
) -> None:
    client = make_client(capacity=10)
    _emit(client, 5000)
    dropped = client.stats().dropped
    assert dropped > 3000
    with serving(path, sink):
        assert client.flush(PATIENCE_S)
        _emit(client, 3)
        assert client.flush(PATIENCE_S)
        client.close(PATIENCE_S)
    stats = client.stats()
    assert stats.delivered + stats.dropped == stats.emitted == 5003
    stored = [json.loads(payload) for payload in sink.payloads(Kind.RELAYED)]
    samples = [one["factor_a"] for one in stored if one["procedure_id"] == "AI-SAMPLE.1"]
    assert sum(samples) == stats.dropped
    assert len(stored) - len(samples) == stats.delivered


def test_a_stalled_agent_gets_the_same_batch_again_until_it_answers(
    intake: RunningIntake, sink: ListSink, make_client: MakeClient
) -> None:
    client = make_client()
    sink.stall()
    _emit(client, 10)
    assert not client.flush(0.3)
    sink.release()
    assert client.flush(PATIENCE_S)
    assert client.stats() == ClientStats(10, 10, 0, 0, 0)
    assert _stored_factors(sink) == list(range(10))


def test_an_agent_that_restarts_gets_the_unanswered_batch_and_stores_it_once(
    path: Path, sink: ListSink, make_client: MakeClient
) -> None:
    client = make_client()
    with serving(path, sink):
        sink.stall()
        _emit(client, 10)
        while sink.appends == 0:
            assert not client.flush(0.01)
    sink.release()
    with serving(path, sink):
        assert client.flush(PATIENCE_S)
        client.close(PATIENCE_S)
    assert _stored_factors(sink) == list(range(10))


def test_after_close_what_is_emitted_is_dropped_and_counted(
    intake: RunningIntake, make_client: MakeClient
) -> None:
    client = make_client()
    _emit(client, 5)
    assert client.close(PATIENCE_S)
    _emit(client, 2)
    assert client.stats() == ClientStats(7, 5, 0, 2, 0)


def test_close_does_not_wait_for_an_agent_that_is_not_there(make_client: MakeClient) -> None:
    client = make_client()
    _emit(client, 5)
    assert not client.close(PATIENCE_S * 10)
    assert client.stats() == ClientStats(5, 0, 0, 5, 0)


_PROGRAMS = {
    "an exit without close": "from swt3_agent.client import emit\nemit('AI-INF.1', 1, 0, 1)\n",
    "a forked child": """
import os
from swt3_agent.client import default_client, emit
emit('AI-INF.1', 1, 0, 1)
default_client.flush(10)
if os.fork() == 0:
    emit('AI-INF.1', 1, 1, 1)
    default_client.close(10)
    os._exit(0)
os.wait()
emit('AI-INF.1', 1, 2, 1)
""",
}


@pytest.mark.parametrize(
    ("program", "expected"),
    [(_PROGRAMS["an exit without close"], [0]), (_PROGRAMS["a forked child"], [0, 1, 2])],
    ids=_PROGRAMS.keys(),
)
def test_whole_programs_lose_nothing(
    program: str, expected: list[int], intake: RunningIntake, path: Path, sink: ListSink
) -> None:
    environment = {**os.environ, "SWT3_AGENT_SOCKET": str(path), "SWT3_TENANT_ID": "LOCAL"}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment,
        check=True,
        timeout=PATIENCE_S,
    )
    assert _stored_factors(sink) == expected
    clients = {json.loads(provenance)["client"] for _, provenance, _ in sink.records}
    assert len(clients) == (2 if "fork" in program else 1)


def test_importing_the_client_needs_only_the_standard_library() -> None:
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import swt3_agent.client\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*(loaded - sys.stdlib_module_names - {'swt3_agent'}))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert ended.stdout.strip() == ""
