"""A custody volume whose sync hangs holds up nobody who needs no custody."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from swt3_agent.config.settings import CustodySettings
from swt3_agent.daemon.sink import CatalogedJournal
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.custody.log_shelf import Source
from swt3_agent.store.custody.opening import open_custody
from swt3_agent.store.journal import Journal
from swt3_agent.store.state import StateDirectory
from tests.integration.relay.harness import Peer, serving
from tests.support.anchors import inference_anchor


@pytest.fixture
def stall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Once cleared, no sync of a file on the volume ends until it is set again."""
    moving = threading.Event()
    moving.set()
    sync = os.fdatasync

    def fdatasync(fd: int) -> None:
        if f"{tmp_path}/volume/" in str(Path(f"/proc/self/fd/{fd}").readlink()):
            moving.wait()
        sync(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    yield moving
    moving.set()


def test_others_are_stored_and_those_who_need_it_are_told_to_ask_again(
    tmp_path: Path, stall: threading.Event
) -> None:
    (tmp_path / "volume").mkdir()
    settings = CustodySettings(path=str(tmp_path / "volume"))
    with ExitStack() as stack:
        layout = stack.enter_context(StateDirectory.open(tmp_path / "state")).layout
        journal = stack.enter_context(Journal.open(layout.journal, layout.keys))
        catalogue = stack.enter_context(Catalogue.open(None, journal))
        custody = stack.enter_context(open_custody(settings, layout, Source("ab" * 16, "cd" * 16)))
        sink = CatalogedJournal(journal, catalogue, custody)
        path = tmp_path / "intake.sock"
        stack.enter_context(serving(path, sink))
        needy, other = stack.enter_context(Peer(path)), stack.enter_context(Peer(path))
        stall.clear()
        request = {"op": "submit", "id": "x", "client": "c", "batch": 1}
        talkative = request | {"witnesses": [inference_anchor(ai_latency_ms=12)]}
        needy.send_request(talkative)
        for batch in range(5):
            quiet = {"id": "y", "client": "d", "batch": batch, "witnesses": [inference_anchor()]}
            assert other.ask(request | quiet)["accepted"] == 1
        assert needy.answer()["code"] == "OUTCOME_UNKNOWN"
        assert journal.size == 5
        stall.set()
        answer = needy.ask(talkative)
        while not answer["ok"]:
            answer = needy.ask(talkative)
        assert (answer["accepted"], journal.size, custody.entries) == (1, 6, 1)
