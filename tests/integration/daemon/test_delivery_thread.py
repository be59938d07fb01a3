"""The delivery thread over a journal of its own: settings that are mended, a log that fails."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swt3_agent.config import Ledger as LedgerConfig
from swt3_agent.config.settings import LedgerSettings
from swt3_agent.daemon.delivery import Delivery
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.delivery.gate import Gate
from swt3_agent.relay.delivery.lane import LaneState
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.store.settlements import Settlements
from tests.support.anchors import inference_anchor
from tests.support.certificates import Authority
from tests.support.ledger import API_KEY, Ledger, Trouble

PATIENCE_S = 20.0
PROVENANCE = canonical_json({"listener": "intake", "tenant": "LOCAL", "applied_level": 3})


class Room:
    """A journal with what delivery needs of it."""

    def __init__(self, root: Path, journal: Journal, catalogue: Catalogue) -> None:
        self.root = root
        self.journal = journal
        self.settlements = Settlements(journal, catalogue)
        self.lack: Reason | None = None

    def add(self, count: int) -> list[str]:
        anchors = [inference_anchor() for _ in range(count)]
        drafts = [
            Draft(Kind.RELAYED, PROVENANCE, json.dumps(anchor).encode()) for anchor in anchors
        ]
        self.journal.append(drafts).result()
        return [anchor["anchor_fingerprint"] for anchor in anchors]

    def delivery(self, ledger: Ledger, **settings: object) -> Delivery:
        config = LedgerConfig(ledger.endpoint, API_KEY, LedgerSettings(**settings))  # type: ignore[arg-type]  # the tests name what exists
        return Delivery(config, Gate("LOCAL", 3), self.journal, self.settlements, lambda: self.lack)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    for name in ("journal", "keys"):
        (tmp_path / name).mkdir()
    with (
        Journal.open(tmp_path / "journal", tmp_path / "keys") as journal,
        Catalogue.open(None, journal) as catalogue,
    ):
        yield Room(tmp_path, journal, catalogue)


def await_that(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_certificates_may_be_mended_while_it_runs(room: Room) -> None:
    authority = Authority(room.root)
    rotated = room.root / "ca.pem"
    rotated.write_text("half a certificate")
    with Ledger(tls=authority.certify("ledger")) as ledger:
        delivery = room.delivery(ledger, ca=str(rotated))
        wanted = room.add(3)
        delivery.start()
        try:
            for _ in range(3):
                delivery.resume()
            await_that(lambda: delivery.state.lane is LaneState.STOPPED)
            fault = delivery.state.fault
            assert fault is not None
            assert fault.code == "LEDGER_TLS_FILES"
            shutil.copy(authority.certificate, rotated)
            delivery.resume()
            ledger.await_records(wanted)
            await_that(lambda: room.settlements.cursor == 3)
        finally:
            delivery.stop()


def test_it_waits_as_long_as_custody_does_not_keep_what_was_removed(room: Room) -> None:
    with Ledger() as ledger:
        delivery = room.delivery(ledger)
        room.lack = Reason("CUSTODY_FULL", "no room", "make room")
        wanted = room.add(3)
        delivery.start()
        try:
            await_that(lambda: delivery.state.lane is LaneState.WAITING_CUSTODY)
            assert delivery.state.fault == room.lack
            assert ledger.posts == []
            room.lack = None
            delivery.resume()
            ledger.await_records(wanted)
        finally:
            delivery.stop()


def test_a_log_that_cannot_be_read_for_a_while_loses_nothing(room: Room) -> None:
    with Ledger() as ledger:
        delivery = room.delivery(ledger)
        wanted = room.add(3)
        [segment] = [file for file in (room.root / "journal").iterdir() if file.stat().st_size]
        sound = segment.read_bytes()
        at = sound.index(wanted[1].encode())
        overwrite(segment, at, b"?")
        delivery.start()
        try:
            await_that(lambda: delivery.state.lane is LaneState.BACKING_OFF)
            assert delivery.state.fault is not None
            assert delivery.state.fault.remedy
            assert ledger.posts == []
            overwrite(segment, at, sound[at : at + 1])
            delivery.resume()
            ledger.await_records(wanted)
            await_that(lambda: delivery.state.fault is None)
        finally:
            delivery.stop()


def overwrite(file: Path, at: int, text: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(text)


def test_new_records_wake_it_and_its_own_receipts_do_not(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swt3_agent.daemon.delivery.LINGER_S", 0.05)
    with Ledger() as ledger:
        delivery = room.delivery(ledger)
        delivery.start()
        try:
            for end in (1, 2, 3):
                await_that(lambda: delivery.state.lane is LaneState.IDLE)
                ledger.await_records(room.add(1))
                await_that(lambda end=end: room.settlements.counts.settled == end)  # type: ignore[misc]  # a default binds it now
        finally:
            delivery.stop()
        assert len(ledger.posts) == 3
        records = list(room.journal.scan(0))
        assert [record.kind for record in records].count(Kind.RECEIPT) == 3
        delivery.resume()  # too late, and harmless
        room.add(1)
        assert len(ledger.posts) == 3


def test_stopping_gives_a_post_under_way_up_and_sends_it_again_the_next_time(room: Room) -> None:
    wanted = room.add(3)
    with Ledger() as ledger:
        ledger.troubles.append(Trouble(hangs=True, stores=True))
        first = room.delivery(ledger)
        first.start()
        ledger.await_posts(1)
        assert first.state.lane is LaneState.SENDING
        first.stop()
        assert room.settlements.cursor == 0
        second = room.delivery(ledger)
        second.start()
        try:
            await_that(lambda: room.settlements.cursor == 3)
        finally:
            second.stop()
        assert ledger.posts[0].body == ledger.posts[1].body
        assert ledger.fingerprints() == dict.fromkeys(wanted, 2)


def test_one_that_was_never_started_can_be_stopped(room: Room) -> None:
    with Ledger() as ledger:
        delivery = room.delivery(ledger)
        delivery.resume()
        delivery.stop()
