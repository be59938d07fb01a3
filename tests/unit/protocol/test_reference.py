import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.reference import (
    REFERENCE_FORMAT,
    Measured,
    Reference,
    compare,
    encode_reference,
    parse_reference,
)
from swt3_agent.protocol.reference_names import DESCRIBED
from swt3_agent.tcg.event_log import parse_event_log
from swt3_agent.tcg.measured_boot import measured_values
from tests.support.boot_logs import REAL_LOGS, real_log, real_pcrs
from tests.unit.tcg.vectors import result_or_code

GOOD, OTHER, NEXT = ("11" * 32, "22" * 32, "33" * 32)
PCRS = {4: bytes.fromhex(GOOD), 9: bytes.fromhex(GOOD)}
KERNEL: Measured = ("kernel /vmlinuz-6.1", "aa" * 32)
INITRD: Measured = ("initrd /initrd.img-6.1", "bb" * 32)
GRUB: Measured = ("/grub/grub.cfg", "cc" * 32)


def codes(
    reference: Reference,
    pcrs: dict[int, bytes] = PCRS,
    values: dict[str, tuple[str, ...]] | None = None,
) -> list[str]:
    return [reason.code for reason in compare(reference, pcrs, values)]


def detail(known: tuple[Measured, ...], measured: tuple[Measured, ...]) -> str:
    reference = Reference(pcrs={9: (OTHER,)}, events={9: known})
    (reason,) = compare(reference, PCRS, None, events={9: measured})
    assert reason.code == "PCR_MISMATCH"
    assert reason.remedy
    return reason.detail


def test_registers_that_are_accepted_give_no_reason() -> None:
    assert codes(Reference(pcrs={4: (GOOD,), 9: (OTHER, GOOD)})) == []


def test_a_register_that_changed_is_named() -> None:
    reference = Reference(pcrs={4: (OTHER,), 9: (GOOD,)})
    (reason,) = compare(reference, PCRS, None)
    assert (reason.code, reason.detail) == (
        "PCR_MISMATCH",
        f"PCR 4 changed: it is not the accepted {OTHER} (PCR 4 is {GOOD})",
    )


def test_of_several_accepted_values_one_must_be_shown() -> None:
    (reason,) = compare(Reference(pcrs={4: (OTHER, NEXT)}), PCRS, None)
    assert "none of the 2 accepted values" in reason.detail


def test_a_register_that_was_not_quoted_is_no_match() -> None:
    assert codes(Reference(pcrs={7: (GOOD,)})) == ["PCR_NOT_QUOTED"]


def test_what_changed_in_a_register_is_named_where_its_events_are_known() -> None:
    known = (KERNEL, INITRD, GRUB)
    updated: Measured = (INITRD[0], "dd" * 32)
    assert detail(known, (KERNEL, updated, GRUB)) == (
        f"PCR 9 changed: initrd /initrd.img-6.1: {'dd' * 32} is not the accepted {'bb' * 32}"
        f" (PCR 9 is {GOOD})"
    )


def test_what_was_added_or_left_out_is_named() -> None:
    new: Measured = ("/grub/custom.cfg", "ee" * 32)
    text = detail((KERNEL, INITRD), (KERNEL, new))
    assert f"/grub/custom.cfg: {'ee' * 32} is not among the accepted" in text
    assert f"initrd /initrd.img-6.1: {'bb' * 32} was not measured" in text


def test_another_order_is_called_that() -> None:
    assert "the accepted events in another order or number" in detail(
        (KERNEL, INITRD), (INITRD, KERNEL)
    )


def test_a_reason_names_no_more_than_can_be_read() -> None:
    many = tuple((f"/{number}", f"{number:064x}") for number in range(50))
    text = detail((KERNEL,), many)
    assert "and 43 more" in text
    assert len(text) < 4000


def test_values_that_are_accepted_give_no_reason() -> None:
    reference = Reference(values={"secure-boot": ("enabled",), "loaders": ("a", "b", "a")})
    assert codes(reference, {}, {"secure-boot": ("enabled",), "loaders": ("a", "b", "a")}) == []


@pytest.mark.parametrize(
    ("measured", "what"),
    [
        (("a", "b", "evil", "worse", "evil"), "evil is not among the accepted; worse is not among"),
        (("a",), "b was not measured"),
        (("a", "evil"), "evil is not the accepted b"),
        (("b", "a"), "the accepted values in another order or number"),
        (("a", "b", "b"), "the accepted values in another order or number"),
        (("a", "b", "(none)"), "(none) is not among the accepted"),
    ],
)
def test_a_value_that_was_added_left_out_or_moved_is_a_change(
    measured: tuple[str, ...], what: str
) -> None:
    (reason,) = compare(Reference(values={"loaders": ("a", "b")}), {}, {"loaders": measured})
    assert reason.code == "VALUE_MISMATCH"
    assert reason.detail.startswith(f"loaders changed: {what}")


def test_values_that_changed_are_named_as_far_as_can_be_read() -> None:
    many = tuple(f"{number}" * 9000 for number in range(5000))
    (reason,) = compare(Reference(values={"loaders": ("a", "b")}), {}, {"loaders": many})
    assert "and 4994 more" in reason.detail
    assert len(reason.detail) < 4000


@pytest.mark.parametrize("values", [{}, {"kernel": ()}, {"initrd": ("x",)}])
def test_a_value_that_nothing_shows_is_no_match(values: dict[str, tuple[str, ...]]) -> None:
    assert codes(Reference(values={"kernel": ("x",)}), {}, values) == ["VALUE_MISSING"]


def test_values_need_a_log() -> None:
    assert codes(Reference(values={"kernel": ("x",)}), {}, None) == ["BOOT_LOG_MISSING"]


def test_a_long_value_is_cut_in_the_reason() -> None:
    (reason,) = compare(
        Reference(values={"command-line": ("x" * 4000,)}), {}, {"command-line": ("y" * 4000,)}
    )
    assert len(reason.detail) < 600


def test_values_survive_a_change_of_the_firmware() -> None:
    """What PCR 0 and 1 are made of is not among them."""
    log = parse_event_log(real_log("rhel8-uefi"))
    pcrs = real_pcrs("rhel8-uefi")["sha256"]
    before = measured_values(log, pcrs).values
    names = (
        "secure-boot",
        "secure-boot-authorities",
        "loaders",
        "kernel",
        "initrd",
        "command-line",
    )
    reference = Reference(values={name: before[name] for name in names})
    after = measured_values(log, {**pcrs, 0: bytes(32), 1: bytes(32)}).values
    assert compare(reference, pcrs, after) == ()


def test_the_registers_that_nothing_judges_are_known() -> None:
    quoted = {index: bytes(32) for index in (0, 1, 4, 7, 9)}
    reference = Reference(
        pcrs={0: (GOOD,)}, values={"loaders": ("a",), "secure-boot": ("enabled",)}
    )
    assert reference.unjudged(quoted) == (1, 7, 9)


@pytest.mark.parametrize("name", [name for name in REAL_LOGS if name != "debian-10"])
def test_every_name_of_a_described_register_comes_from_it_alone(name: str) -> None:
    """Values of other registers must not stand in for those of one that does not match."""
    pcrs = real_pcrs(name)["sha256"]
    log = parse_event_log(real_log(name))
    for index, names in DESCRIBED.items():
        others = measured_values(log, {key: pcrs[key] for key in pcrs if key != index}).values
        assert not {found for found in names if found != "command-line"} & others.keys()


@pytest.mark.parametrize(
    "reference",
    [
        {},
        {"pcrs": {}, "values": {}},
        {"pcrs": {4: ()}},
        {"values": {"kernel": ()}},
        {"values": {"kernel": ("*",)}},
    ],
)
def test_a_reference_that_compares_nothing_is_refused(reference: dict[str, object]) -> None:
    with pytest.raises(FormatError) as caught:
        Reference(**reference)  # type: ignore[arg-type]  # each case names its own fields
    assert caught.value.code == "REFERENCE_EMPTY"


@pytest.mark.parametrize(
    "reference",
    [
        {"pcrs": {24: (GOOD,)}},
        {"pcrs": {4: ("11" * 20,)}},
        {"pcrs": {4: (GOOD.upper() + "AB",)}},
        {"pcrs": {4: (GOOD, GOOD)}},
        {"values": {"Kernel": ("x",)}},
        {"values": {"kernel": ("",)}},
        {"values": {"kernel": ("x" * 9000,)}},
        {"values": {"kernel": tuple(map(str, range(5000)))}},
        {"pcrs": {4: (GOOD,)}, "events": {4: (("x", "zz"),)}},
        {"pcrs": {4: (GOOD,)}, "events": {77: (KERNEL,)}},
    ],
)
def test_a_reference_that_cannot_be_used_is_refused(reference: dict[str, object]) -> None:
    with pytest.raises(FormatError) as caught:
        Reference(**reference)  # type: ignore[arg-type]  # each case names its own fields
    assert caught.value.code == "REFERENCE_INVALID"


def test_a_reference_is_canonical_json_and_read_back() -> None:
    reference = Reference(
        pcrs={9: (GOOD, OTHER), 4: (OTHER,)},
        values={"kernel": ("a",), "loaders": ("b", "a", "b")},
        events={9: (KERNEL, INITRD, ('\x00\x1f\x7f\n\u2028é𝕏/\\"', "dd" * 32))},
    )
    data = encode_reference(reference)
    assert parse_reference(data) == reference
    assert data == canonical_json(json.loads(data))
    assert data.startswith(b'{"events":{"9":[["kernel /vmlinuz-6.1","' + b"aa" * 32)
    assert json.loads(data)["format"] == REFERENCE_FORMAT


def test_equal_references_have_equal_bytes() -> None:
    one = Reference(pcrs={4: (GOOD, OTHER), 9: (GOOD,)})
    other = Reference(pcrs={9: (GOOD,), 4: (OTHER, GOOD)})
    assert encode_reference(one) == encode_reference(other)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{}", "REFERENCE_FORMAT_UNKNOWN"),
        ('{"format":"swt3-agent/reference/2"}', "REFERENCE_FORMAT_UNKNOWN"),
        ('{"format":"swt3-agent/reference/1"}', "REFERENCE_EMPTY"),
        ('{"format":"swt3-agent/reference/1","pcrs":[]}', "REFERENCE_INVALID"),
        ('{"format":"swt3-agent/reference/1","pcrs":{"04":["x"]}}', "REFERENCE_INVALID"),
        ('{"format":"swt3-agent/reference/1","pcrs":{"4":"x"}}', "REFERENCE_INVALID"),
        ('{"format":"swt3-agent/reference/1","values":{"kernel":[1]}}', "REFERENCE_INVALID"),
        ('{"format":"swt3-agent/reference/1","extra":1}', "REFERENCE_INVALID"),
        ('{"format":"swt3-agent/reference/1","events":{"4":[["x"]]}}', "REFERENCE_INVALID"),
        ('{"format":1,"format":2}', "DUPLICATE_KEY"),
        ("nonsense", "NOT_JSON"),
    ],
)
def test_what_is_no_reference_is_refused(text: str, code: str) -> None:
    assert result_or_code(parse_reference, text.encode()) == code


@given(st.binary(max_size=200))
def test_any_bytes_are_a_reference_or_refused(data: bytes) -> None:
    result_or_code(parse_reference, data)
    result_or_code(parse_reference, b'{"format":"swt3-agent/reference/1",' + data)
