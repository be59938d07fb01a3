import struct
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.tcg.event_log import MAX_EVENTS, MAX_LOG, EventLog, parse_event_log
from tests.support.boot_logs import (
    IPL,
    NO_ACTION,
    REAL_LOGS,
    SEPARATOR,
    SHA256,
    event,
    extended,
    header,
    locality,
    real_log,
    real_pcrs,
    sha1_event,
)
from tests.unit.tcg.vectors import result_or_code


def code_of(data: bytes) -> str:
    with pytest.raises(FormatError) as caught:
        parse_event_log(data)
    assert caught.value.remedy
    return caught.value.code


@pytest.mark.parametrize("name", REAL_LOGS)
def test_a_real_log_replays_to_the_registers_of_its_machine(name: str) -> None:
    log = parse_event_log(real_log(name))
    for bank, expected in real_pcrs(name).items():
        replayed = log.replay(bank)
        assert {index: replayed.get(index) for index in expected} == expected
    assert not log.truncated


def test_what_is_no_log_is_refused() -> None:
    assert code_of(real_log("bogus")) == "EVENT_LOG_HEADER"
    assert code_of(b"") == "EVENT_LOG_HEADER"
    assert code_of(bytes(4096)) == "EVENT_LOG_HEADER"
    assert code_of(b"\xff" * 4096) == "EVENT_LOG_HEADER"


def test_algorithms_that_are_not_known_are_read_by_the_sizes_of_the_header() -> None:
    digests = [(SHA256, bytes(31) + b"\1"), (0x7777, bytes(7))]
    log = parse_event_log(header({SHA256: 32, 0x7777: 7}) + event(4, IPL, b"x", digests=digests))
    assert log.events[1].digest(0x7777) == bytes(7)
    assert log.banks == ("sha256",)
    with pytest.raises(FormatError) as caught:
        log.replay("sha384")
    assert caught.value.code == "EVENT_LOG_BANK"


def test_a_log_with_sha1_digests_only_is_read() -> None:
    log = parse_event_log(sha1_event(0, 8, b"v1") + sha1_event(0, SEPARATOR, bytes(4)))
    assert log.banks == ("sha1",)
    assert [event.number for event in log.events] == [0, 1]


@pytest.mark.parametrize("value", [0, 3, 4])
def test_register_0_starts_from_the_locality_that_started_the_tpm(value: int) -> None:
    log = parse_event_log(header() + locality(value) + event(0, 8, b"v") + event(1, 8, b"v"))
    assert log.replay()[0] == extended(b"v", start=bytes(31) + bytes([value]))
    assert log.replay()[1] == extended(b"v")


@pytest.mark.parametrize(
    "events", [locality(1), locality(3) + locality(4), event(0, NO_ACTION, b"StartupLocality\0")]
)
def test_a_log_that_contradicts_itself_about_the_start_is_refused(events: bytes) -> None:
    assert code_of(header() + events + event(0, 8, b"v")) == "EVENT_LOG_LOCALITY"


def test_a_locality_that_is_claimed_after_the_first_extend_changes_nothing() -> None:
    log = parse_event_log(header() + event(0, 8, b"v") + locality(3))
    assert log.replay()[0] == extended(b"v")


def test_an_event_that_informs_is_not_extended() -> None:
    informative = event(0, NO_ACTION, b"SP800-155 Event3")
    log = parse_event_log(
        header() + informative + event(0xFFFFFFFF, NO_ACTION, b"") + event(0, 8, b"v")
    )
    assert log.replay() == {0: extended(b"v")}


def test_a_register_with_an_event_without_a_digest_of_the_bank_is_left_out() -> None:
    sizes = {0x0004: 20, SHA256: 32}
    partial = event(4, IPL, b"", digests=[(0x0004, bytes(20))])
    both = event(5, IPL, b"", digests=[(0x0004, bytes(20)), (SHA256, bytes(32))])
    log = parse_event_log(header(sizes) + partial + both)
    assert set(log.replay("sha256")) == {5}
    assert set(log.replay("sha1")) == {4, 5}


@pytest.mark.parametrize("padding", [b"\0" * 500, b"\xff" * 500])
def test_the_unused_rest_of_a_buffer_is_no_truncation(padding: bytes) -> None:
    log = parse_event_log(header() + event(4, IPL, b"x") + padding)
    assert (log.truncated, log.unread, len(log.events)) == (False, 500, 2)


@pytest.mark.parametrize(
    "rest",
    [
        b"garbage that is no event at all",
        event(99, IPL, b"no such register"),
        event(4, IPL, b"", digests=[]),
        event(4, IPL, b"", digests=[(0x000C, bytes(48))]),
        event(4, IPL, b"", digests=[(SHA256, bytes(32))] * 2),
        struct.pack("<III", 4, IPL, 0xFFFFFFFF),
        event(4, IPL, b"x" * 100)[:-1],
    ],
)
def test_what_precedes_bytes_that_are_no_event_is_kept_and_called_truncated(rest: bytes) -> None:
    log = parse_event_log(header() + event(4, IPL, b"x") + rest)
    assert (log.truncated, log.unread) == (True, len(rest))
    assert log.replay() == {4: extended(b"x")}


@pytest.mark.parametrize(
    "algorithms",
    [{}, dict.fromkeys(range(1, 18), 20), {SHA256: 0}, {SHA256: 20}, {0x7777: 129}],
)
def test_a_header_that_cannot_be_is_refused(algorithms: dict[int, int]) -> None:
    assert code_of(header(algorithms)) == "EVENT_LOG_HEADER"


def test_a_log_beyond_the_bounds_is_refused() -> None:
    assert code_of(header() + bytes(MAX_LOG)) == "EVENT_LOG_OVERSIZED"
    assert code_of(header() + event(4, IPL, b"") * MAX_EVENTS) == "EVENT_LOG_OVERSIZED"


SMALL = [
    header(),
    locality(3),
    event(0, 8, b"version"),
    event(7, SEPARATOR, bytes(4)),
    event(8, IPL, b"grub_cmd: x\0", hashed=b"x"),
]


def test_a_small_log_cut_at_every_byte_is_what_precedes_the_cut() -> None:
    whole = b"".join(SMALL)
    ends = list(accumulate(map(len, SMALL)))
    for end in range(ends[0], len(whole)):
        log = parse_event_log(whole[:end])
        kept = sum(known <= end for known in ends)
        rest = whole[ends[kept - 1] : end]
        assert (len(log.events), log.unread) == (kept, len(rest))
        assert log.truncated is bool(rest.strip(b"\0"))
    for end in range(ends[0]):
        assert code_of(whole[:end]) == "EVENT_LOG_HEADER"


@pytest.mark.parametrize("name", ["arch-linux-workstation", "debian-10"])
def test_a_log_cut_anywhere_is_truncated_or_refused_and_never_another(name: str) -> None:
    whole = parse_event_log(real_log(name))
    data = real_log(name)
    for end in range(0, len(data), 7):
        log = parsed(data[:end])
        if log is not None:
            assert log.events == whole.events[: len(log.events)]
            assert log.unread == 0 or log.truncated or not data[end - log.unread : end].strip(b"\0")


def parsed(data: bytes) -> EventLog | None:
    result = result_or_code(parse_event_log, data)
    if isinstance(result, EventLog):
        return result
    assert result.startswith("EVENT_LOG_")
    return None


@given(st.binary(max_size=400))
def test_any_bytes_are_a_log_or_refused(data: bytes) -> None:
    parsed(data)
    parsed(header() + data)


@given(data=st.data())
def test_a_real_log_with_any_bytes_changed_is_a_log_or_refused(data: st.DataObject) -> None:
    log = bytearray(real_log("eventlogwithsp800155"))
    for _ in range(data.draw(st.integers(1, 8))):
        position = data.draw(st.integers(0, len(log) - 1))
        log[position] = data.draw(st.integers(0, 255))
    changed = parsed(bytes(log))
    if changed is not None:
        for bank in changed.banks:
            changed.replay(bank)
