import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.nv_public import (
    COUNTER_ATTRIBUTES,
    NvAttribute,
    NvPublic,
    check_counter,
    parse_nv_public,
)
from tests.unit.tcg.vectors import KEYS, result_or_code

COUNTER = bytes.fromhex(KEYS["counter"]["public"])
WRITTEN = int(NvAttribute.WRITTEN)


def counter(**changes: int | bytes) -> bytes:
    """A counter's public area, with fields of other values."""
    fields: dict[str, int | bytes] = {
        "index": 0x01800053,
        "name_alg": 0x000B,
        "attributes": COUNTER_ATTRIBUTES | WRITTEN,
        "policy": b"",
        "size": 8,
        **changes,
    }
    policy = fields["policy"]
    assert isinstance(policy, bytes)
    numbers = {name: value for name, value in fields.items() if isinstance(value, int)}
    return (
        numbers["index"].to_bytes(4, "big")
        + numbers["name_alg"].to_bytes(2, "big")
        + numbers["attributes"].to_bytes(4, "big")
        + len(policy).to_bytes(2, "big")
        + policy
        + numbers["size"].to_bytes(2, "big")
    )


def test_reads_a_counter_as_the_tpm_made_it() -> None:
    public = parse_nv_public(COUNTER)
    assert (public.index, public.size, public.policy) == (0x01800053, 8, b"")
    assert public.is_counter
    assert public.is_written
    assert counter() == COUNTER
    check_counter(public)


def test_the_name_is_the_one_that_the_tpm_certified() -> None:
    public = parse_nv_public(COUNTER)
    assert public.name().hex() == KEYS["counter"]["name"]
    certified = parse_attest(bytes.fromhex(KEYS["counter"]["attest"])).nv
    assert certified is not None
    assert certified.name == public.name()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"attributes": (COUNTER_ATTRIBUTES | WRITTEN) & ~0xF0}, "TYPE"),  # ordinary
        ({"attributes": (COUNTER_ATTRIBUTES | WRITTEN) & ~0xF0 | 0x40}, "TYPE"),  # extend
        ({"attributes": COUNTER_ATTRIBUTES}, "UNWRITTEN"),
        ({"attributes": COUNTER_ATTRIBUTES | WRITTEN | NvAttribute.ORDERLY}, "ATTRIBUTES"),
        ({"attributes": COUNTER_ATTRIBUTES | WRITTEN | NvAttribute.OWNER_WRITE}, "ATTRIBUTES"),
        ({"attributes": COUNTER_ATTRIBUTES | WRITTEN | NvAttribute.PLATFORM_CREATE}, "ATTRIBUTES"),
        ({"attributes": (COUNTER_ATTRIBUTES | WRITTEN) & ~NvAttribute.NO_DA}, "ATTRIBUTES"),
        ({"size": 4}, "SIZE"),
        ({"name_alg": 0x0004}, "NAME_ALG"),
        ({"policy": bytes(32)}, "POLICY"),
    ],
)
def test_an_index_that_is_no_counter_of_ours_is_refused_by_name(
    changes: dict[str, int | bytes], code: str
) -> None:
    with pytest.raises(FormatError) as caught:
        check_counter(parse_nv_public(counter(**changes)))
    assert caught.value.code == f"COUNTER_INDEX_{code}"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (COUNTER + b"\0", "NV_PUBLIC_TRAILING"),
        (counter(index=0x81000053), "NV_PUBLIC_INDEX"),
        (counter(name_alg=0x0012), "NV_PUBLIC_NAME_ALG"),
        (counter(policy=bytes(65)), "NV_PUBLIC_OVERSIZED"),
        (bytes(1 << 16), "NV_PUBLIC_OVERSIZED"),
    ],
)
def test_damaged_areas_are_refused_by_name(data: bytes, code: str) -> None:
    assert result_or_code(parse_nv_public, data) == code


def test_every_truncation_is_refused() -> None:
    codes = {result_or_code(parse_nv_public, COUNTER[:size]) for size in range(len(COUNTER))}
    assert codes == {"NV_PUBLIC_TRUNCATED"}


@given(st.binary(max_size=64) | st.binary(max_size=40).map(lambda tail: COUNTER[:6] + tail))
def test_any_bytes_are_an_nv_public_area_or_a_format_error(data: bytes) -> None:
    result = result_or_code(parse_nv_public, data)
    assert isinstance(result, NvPublic) or result.startswith("NV_PUBLIC_")


@given(st.integers(0, len(COUNTER) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_the_name(offset: int, mask: int) -> None:
    changed = bytearray(COUNTER)
    changed[offset] ^= mask
    result = result_or_code(parse_nv_public, bytes(changed))
    assert isinstance(result, str) or result.name().hex() != KEYS["counter"]["name"]
