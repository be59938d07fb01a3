"""Sealing shares the anchors out, and looking back finds each where it went."""

import json
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.protocol.days import Seal, days_to_seal, own_day, seal_of
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.store.day_scan import AnchorReader, DayScan

DAY_S = 86_400
BEGIN = 20_000  # the day on which these logs begin


@dataclass
class Log:
    """A log whose anchors are numbered by their fingerprints, sealed as the audit does it."""

    records: list[Record]
    seals: list[Seal]
    shares: dict[int, int]
    first: int = 0

    def anchor(self, epoch_day: int, received_day: int) -> None:
        seq = len(self.records)
        payload = {"anchor_fingerprint": f"{seq:012x}", "anchor_epoch": epoch_day * DAY_S}
        self.records.append(
            Record(
                seq,
                Kind.RELAYED,
                3,
                received_day * DAY_S * 10**9,
                b'{"tenant":"LOCAL"}',
                json.dumps(payload).encode(),
            )
        )

    def seal(self, today: int) -> None:
        newest = today - 1
        after = max((seal.day for seal in self.seals if seal.day <= newest), default=BEGIN - 1)
        if after >= newest:
            return
        scan = DayScan("LOCAL", self.seals, after, today)
        for record in self.records[self.first :]:
            scan.see(record)
        end = len(self.records)
        for day, parts in scan.share(days_to_seal(scan.days, after, newest)).items():
            self.seals.append(Seal(day, self.first, end, today))
            self.shares[day] = sum(part.count for part in parts)
        self.first = scan.waiting_from(newest, end)


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("anchor"), st.integers(-3, 3)),
        st.tuples(st.just("night"), st.integers(1, 2)),
        st.tuples(st.just("clock"), st.integers(-6, 6)),
    ),
    max_size=40,
)


@given(EVENTS)
def test_every_anchor_is_in_one_tree_or_waits_for_one_whatever_the_clock_does(
    events: list[tuple[str, int]],
) -> None:
    log, today = Log([], [], {}), BEGIN
    log.anchor(today, today)
    for what, number in events:
        if what == "anchor":
            log.anchor(today + number, today)
        elif what == "clock":
            today = max(BEGIN, today + number)
        else:
            today += number
            log.seal(today)
    found: dict[int, int] = dict.fromkeys(log.shares, 0)
    waiting = 0
    for record in log.records:
        payload = json.loads(record.payload)
        seal = seal_of(log.seals, record.seq, own_day(payload["anchor_epoch"], record.received_ns))
        if seal is None:
            waiting += 1
            assert record.seq >= log.first
        else:
            found[seal.day] += 1
    assert found == log.shares
    assert sum(found.values()) + waiting == len(log.records)


def test_waiting_anchors_go_to_the_days_that_follow_and_not_one_is_kept_back() -> None:
    log = Log([], [], {})
    for day in (BEGIN, BEGIN, BEGIN + 1, BEGIN - 400, BEGIN + 9):
        log.anchor(day, BEGIN + 1)
    log.seal(BEGIN + 1)
    assert log.shares == {BEGIN: 3}
    assert log.first == 2
    log.anchor(BEGIN, BEGIN + 1)
    log.seal(BEGIN + 2)
    assert log.shares == {BEGIN: 3, BEGIN + 1: 3}
    assert log.first == len(log.records)


def test_only_anchors_of_the_tenant_are_read() -> None:
    def record(kind: Kind, provenance: bytes, payload: bytes) -> Record:
        return Record(0, kind, 3, 10**18, provenance, payload)

    good = b'{"anchor_fingerprint":"00000000000a","anchor_epoch":0}'
    reader = AnchorReader("LOCAL")
    assert reader.read(record(Kind.RELAYED, b'{"tenant":"LOCAL"}', good)) == (10, 0)
    assert reader.read(record(Kind.MINTED, b'{"tenant":"LOCAL"}', good)) == (10, 0)
    for kind, provenance, payload in (
        (Kind.EVIDENCE, b'{"tenant":"LOCAL"}', good),
        (Kind.QUARANTINE, b'{"tenant":"LOCAL"}', good),
        (Kind.RELAYED, b'{"tenant":"OTHER"}', good),
        (Kind.RELAYED, b"{}", good),
        (Kind.RELAYED, b"no json", good),
        (Kind.RELAYED, b'{"tenant":"LOCAL"}', b"no json"),
        (Kind.RELAYED, b'{"tenant":"LOCAL"}', good.replace(b"00a", b"0xg")),
        (Kind.RELAYED, b'{"tenant":"LOCAL"}', good.replace(b"00a", b"a")),
        (Kind.RELAYED, b'{"tenant":"LOCAL"}', good.replace(b"000000", b"-00000")),
    ):
        assert reader.read(record(kind, provenance, payload)) is None
