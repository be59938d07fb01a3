import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.tcg.pcr import composite_digest, sha256_selection
from tests.unit.tcg.vectors import PCRS, QUOTED


def test_composite_digest_is_the_hash_of_the_values_in_order_of_selection() -> None:
    values = {9: b"\x09" * 32, 1: b"\x01" * 32}
    expected = hashlib.sha256(b"\x01" * 32 + b"\x09" * 32).digest()
    assert composite_digest(values, sha256_selection((9, 1))) == expected


@pytest.mark.parametrize(
    ("values", "selection", "code"),
    [
        (PCRS, ((0x0004, 0),), "PCR_BANK"),
        ({0: bytes(32)}, ((0x000B, 0), (0x000B, 1)), "PCR_MISSING"),
        ({0: bytes(32), 1: bytes(32)}, ((0x000B, 0),), "PCR_NOT_QUOTED"),
        ({0: bytes(20)}, ((0x000B, 0),), "PCR_SIZE"),
    ],
)
def test_values_that_are_not_exactly_the_quoted_ones_are_refused(
    values: dict[int, bytes], selection: tuple[tuple[int, int], ...], code: str
) -> None:
    with pytest.raises(FormatError) as caught:
        composite_digest(values, selection)
    assert caught.value.code == code


@given(st.sampled_from(QUOTED), st.integers(0, 255))
def test_one_changed_bit_changes_the_composite_digest(index: int, bit: int) -> None:
    changed = int.from_bytes(PCRS[index], "big") ^ (1 << bit)
    values = {**PCRS, index: changed.to_bytes(32, "big")}
    selection = sha256_selection(QUOTED)
    assert composite_digest(values, selection) != composite_digest(PCRS, selection)


@pytest.mark.parametrize("indices", [(0, 0), (24,), (-1,)])
def test_a_selection_names_each_existing_register_once(indices: tuple[int, ...]) -> None:
    with pytest.raises(FormatError) as caught:
        sha256_selection(indices)
    assert caught.value.code == "PCR_INDEX"
