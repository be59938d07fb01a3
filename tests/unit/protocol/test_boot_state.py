"""Boot states of real machines: accepted as they are, and in no other way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from swt3_agent.collect.boot_log import read_boot_log
from swt3_agent.errors import AgentError, FormatError, UsageError
from swt3_agent.protocol.boot_state import NOTHING, BootState, boot_state, whole_values
from swt3_agent.protocol.evidence import Evidence, RootOfTrust
from swt3_agent.protocol.reference import compare, encode_reference, parse_reference
from swt3_agent.protocol.reference_names import DESCRIBED, described_by
from swt3_agent.tcg.event_log import Event, EventType, parse_event_log
from tests.support.boot_logs import real_log, real_pcrs
from tests.support.measured_boot import encode

MACHINES = ("rhel8-uefi", "ubuntu-2104-no-dbx", "arch-linux-workstation")
QUOTED = (*range(10), 13, 14)


@dataclass(frozen=True)
class Log:
    log: bytes

    def boot_log(self) -> bytes:
        return self.log

    def ima_log(self, offset: int = 0) -> bytes:
        raise NotImplementedError


def state_of(log: bytes, pcrs: Mapping[int, bytes]) -> BootState:
    """As the collector and the appraisal come to it."""
    reading = read_boot_log(Log(log), pcrs)
    assert reading.measured is not None
    claims: dict[str, Any] = {
        "log_pcr": 13,
        "quote": {"pcrs": {str(index): value.hex() for index, value in pcrs.items()}},
    }
    attached = {"measured-boot": reading.measured}
    return boot_state(Evidence("platform", RootOfTrust.TPM, claims, attachments=attached))


def quoted(log: bytes) -> dict[int, bytes]:
    """The registers of the machine that this log is of."""
    replayed = parse_event_log(log).replay("sha256")
    return {index: replayed.get(index, bytes(32)) for index in QUOTED}


def machine(name: str) -> tuple[bytes, dict[int, bytes]]:
    log = real_log(name)
    return log, quoted(log) | real_pcrs(name)["sha256"]


def differences(state: BootState, accepted: BootState) -> list[str]:
    reference = parse_reference(encode_reference(accepted.reference()))
    found = compare(reference, state.pcrs, state.values, events=state.events)
    return [f"{reason.code}: {reason.detail}" for reason in found]


@pytest.mark.parametrize("name", MACHINES)
def test_a_state_is_accepted_by_its_own_reference_which_judges_all_of_it(name: str) -> None:
    state = state_of(*machine(name))
    assert differences(state, state) == []
    reference = state.reference()
    assert state.unjudged(reference) == ()
    assert 13 not in reference.pcrs
    assert not {10, 13} & state.pcrs.keys()


@pytest.mark.parametrize("name", MACHINES)
def test_whatever_else_is_measured_in_place_of_an_event_is_a_difference(name: str) -> None:
    log = real_log(name)
    accepted = state_of(log, quoted(log))
    parsed = parse_event_log(log)
    for number, event in enumerate(parsed.events):
        if not event.extended or event.pcr not in QUOTED:
            continue
        flipped = replace(event, digests=tuple((k, _flipped(d)) for k, d in event.digests))
        events = (*parsed.events[:number], flipped, *parsed.events[number + 1 :])
        changed = encode(replace(parsed, events=events))
        assert differences(state_of(changed, quoted(changed)), accepted), event.type_name


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("index", [*DESCRIBED.keys() & set(QUOTED), 0])
def test_whatever_is_measured_in_addition_is_a_difference(name: str, index: int) -> None:
    log = real_log(name)
    parsed = parse_event_log(log)
    digests = tuple((known, b"\xa5" * size) for known, size in parsed.algorithms.items())
    added = Event(len(parsed.events), index, 0x0D, digests, b"one more")
    changed = encode(replace(parsed, events=(*parsed.events, added)))
    state = state_of(changed, quoted(changed))
    assert differences(state, state_of(log, quoted(log)))


@pytest.mark.parametrize("name", MACHINES)
def test_whatever_is_not_measured_any_more_or_out_of_order_is_a_difference(name: str) -> None:
    log = real_log(name)
    accepted = state_of(log, quoted(log))
    parsed = parse_event_log(log)
    last: dict[int, tuple[int, Event]] = {}
    for number, event in enumerate(parsed.events):
        if not event.extended or event.pcr not in QUOTED or _loads_nothing(event):
            continue
        others = parsed.events[:number] + parsed.events[number + 1 :]
        fewer = encode(replace(parsed, events=others))
        assert differences(state_of(fewer, quoted(fewer)), accepted), event.type_name
        before = last.get(event.pcr)
        last[event.pcr] = number, event
        if event.pcr in (2, 4, 9, 14) and before and before[1].digests != event.digests:
            swapped = list(parsed.events)
            swapped[before[0]], swapped[number] = event, before[1]
            moved = encode(replace(parsed, events=tuple(swapped)))
            assert differences(state_of(moved, quoted(moved)), accepted), event.type_name


def _loads_nothing(event: Event) -> bool:
    return event.pcr in DESCRIBED and (
        event.type == EventType.EV_SEPARATOR
        or event.data.startswith((b"Calling", b"Returning", b"Exit"))
    )


def _flipped(digest: bytes) -> bytes:
    return bytes([digest[0] ^ 1]) + digest[1:]


def test_a_register_that_the_log_does_not_lead_to_is_accepted_as_it_is() -> None:
    log, pcrs = machine("rhel8-uefi")
    pcrs |= {4: b"\xaa" * 32, 14: b"\xbb" * 32}
    reference = state_of(log, pcrs).reference()
    assert {4, 14} <= reference.pcrs.keys()
    assert "loaders" not in reference.values
    assert state_of(log, pcrs).unjudged(reference) == ()


def test_without_a_boot_log_all_registers_are_accepted_as_they_are() -> None:
    _, pcrs = machine("rhel8-uefi")
    comparable = {index: value for index, value in pcrs.items() if index != 13}
    reference = BootState(comparable).reference()
    assert (set(reference.pcrs), reference.values) == (set(comparable), {})


def test_exact_registers_are_all_that_is_judged_where_they_are_named() -> None:
    state = state_of(*machine("rhel8-uefi"))
    reference = state.reference([0, 2, 4, 7])
    assert (set(reference.pcrs), reference.values) == ({0, 2, 4, 7}, {})
    assert state.unjudged(reference) == (1, 3, 5, 6, 8, 9, 14)


def test_what_is_left_out_is_known_to_be_unjudged() -> None:
    state = state_of(*machine("rhel8-uefi"))
    reference = state.reference(without=["1", "boot-files"])
    assert state.unjudged(reference) == (1, 9)
    assert "initrd" in reference.values


@pytest.mark.parametrize("index", [10, 13, 11, 23])
def test_a_register_that_is_not_compared_cannot_be_accepted(index: int) -> None:
    state = state_of(*machine("rhel8-uefi"))
    with pytest.raises(UsageError) as refused:
        state.reference([0, index])
    assert refused.value.code == "PCR_NOT_COMPARED"


def test_a_reference_that_would_compare_nothing_is_refused() -> None:
    state = BootState({0: bytes(32)})
    for exact, without in (([], []), (None, ["0"])):
        with pytest.raises(AgentError) as refused:
            state.reference(exact, without)
        assert refused.value.code == "REFERENCE_EMPTY"


def test_names_of_registers_that_hold_nothing_have_a_value_that_says_so() -> None:
    pcrs = {4: bytes(32), 8: b"\xaa" * 32, 12: bytes(32), 14: b"\xbb" * 32}
    values = whole_values({"command-line": ("ro",)}, pcrs, matched=[8], differing=[4])
    assert values == {
        "command-line": ("ro",),
        "boot-commands": (NOTHING,),
        "boot-parameters": (NOTHING,),
    }
    assert described_by(values) == {8, 12}


def test_what_cannot_be_read_of_the_boot_log_is_refused() -> None:
    attached = {"measured-boot": b"[]"}
    with pytest.raises(FormatError) as refused:
        boot_state(Evidence("platform", RootOfTrust.TPM, {}, attachments=attached))
    assert refused.value.code == "MEASURED_BOOT"
