"""Headers of GGUF files: what holds is told, what does not is refused by name."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.collect.headers import gguf as module
from swt3_agent.collect.headers.ggml import GGML_TYPES
from swt3_agent.collect.headers.gguf import read_gguf
from swt3_agent.collect.headers.header import Header
from swt3_agent.errors import FormatError
from tests.support.weight_files import (
    ARRAY,
    STRING,
    gguf,
    number,
    pair,
    small_gguf,
    tensor,
    text,
    texts,
)
from tests.unit.collect.headers.files import parse

ONE = [tensor("a", (4,), 0, 0)]


def read(content: bytes) -> Header:
    return parse(read_gguf, content)


def refusal(content: bytes) -> str:
    with pytest.raises(FormatError) as raised:
        read(content)
    return raised.value.code


def test_types_file_type_and_calibration_are_told() -> None:
    content = small_gguf()
    header = read(content)
    assert header.digest == hashlib.sha256(content[: header.size]).hexdigest()
    assert header.as_json() == {
        "format": "gguf",
        "digest": header.digest,
        "size": header.size,
        "tensors": 2,
        "parameters": 520,
        "types": {"Q4_K": {"tensors": 1, "bytes": 288}, "F32": {"tensors": 1, "bytes": 32}},
        "parts": {},
        "metadata": {
            "architecture": "llama",
            "file_type_code": 15,
            "file_type": "MOSTLY_Q4_K_M",
            "quantization_version": 2,
            "calibration_dataset": "calibration_v3.txt",
        },
    }


def test_version_2_and_another_alignment_are_read() -> None:
    tensors = [tensor("a", (3,), 0, 0), tensor("b", (4,), 0, 64)]
    header = read(gguf([number("general.alignment", 64)], tensors, 80, version=2, alignment=64))
    assert header.tensors == 2


def test_a_file_type_without_a_name_stays_a_number() -> None:
    header = read(gguf([number("general.file_type", 999)], ONE, 16))
    assert header.metadata == {"file_type_code": 999}


def test_long_tokenizers_pass_in_pieces() -> None:
    tokens = [b"x" * (number % 700) for number in range(3000)]
    content = gguf([texts("tokenizer.ggml.tokens", tokens), number("z", 1)], ONE, 16)
    assert len(content) > 2 * module._PIECE
    header = read(content)
    assert header.digest == hashlib.sha256(content[: header.size]).hexdigest()


@pytest.mark.parametrize("kind", sorted(set(module._SIZES) - {module._U32}))
def test_every_kind_of_value_passes(kind: int) -> None:
    size = module._SIZES[kind]
    several = pair("b", ARRAY, struct.pack("<IQ", kind, 3) + bytes(3 * size))
    assert read(gguf([pair("a", kind, bytes(size)), several], ONE, 16)).tensors == 1


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"", "GGUF_TRUNCATED", id="nothing"),
        pytest.param(b"GGML" + bytes(20), "GGUF_MAGIC", id="another format"),
        pytest.param(gguf([], [], 0, version=1), "GGUF_VERSION", id="version 1"),
        pytest.param(gguf([], [], 0, version=3 << 24), "GGUF_BIG_ENDIAN", id="big endian"),
        pytest.param(gguf([], [], 0, claimed=(2**63, 0)), "GGUF_TOO_LARGE", id="tensors"),
        pytest.param(gguf([], [], 0, claimed=(0, 2**63)), "GGUF_TOO_LARGE", id="pairs"),
        pytest.param(gguf([], [], 0, claimed=(60_000, 0)), "GGUF_TRUNCATED", id="fewer tensors"),
        pytest.param(
            gguf([struct.pack("<Q", 2**60)], [], 0), "GGUF_TOO_LARGE", id="a key without end"
        ),
        pytest.param(
            gguf([pair("a", STRING, struct.pack("<Q", 2**60))], [], 0),
            "GGUF_TRUNCATED",
            id="a text without end",
        ),
        pytest.param(gguf([texts("a", [], 2**60)], [], 0), "GGUF_TOO_LARGE", id="many texts"),
        pytest.param(gguf([texts("a", [], 1_000_000)], [], 0), "GGUF_TRUNCATED", id="few texts"),
        pytest.param(
            gguf([pair("a", ARRAY, struct.pack("<IQ", 0, 2**63))], [], 0),
            "GGUF_TRUNCATED",
            id="many numbers",
        ),
        pytest.param(
            gguf([pair("a", ARRAY, struct.pack("<IQ", ARRAY, 1))], [], 0), "GGUF_VALUE", id="nested"
        ),
        pytest.param(gguf([pair("a", 99, b"")], [], 0), "GGUF_VALUE", id="unknown kind"),
        pytest.param(gguf([number("a", 1), number("a", 2)], [], 0), "GGUF_DUPLICATE", id="key"),
        pytest.param(gguf([], [*ONE, *ONE], 64), "GGUF_DUPLICATE", id="tensor twice"),
        pytest.param(gguf([number("general.alignment", 0)], [], 0), "GGUF_VALUE", id="alignment 0"),
        pytest.param(gguf([number("general.alignment", 48)], [], 0), "GGUF_VALUE", id="48"),
        pytest.param(
            gguf([pair("general.file_type", STRING, text(b"7"))], [], 0), "GGUF_VALUE", id="text"
        ),
        pytest.param(gguf([number("general.architecture", 7)], [], 0), "GGUF_VALUE", id="no text"),
        pytest.param(gguf([], [tensor("a", (1,) * 5, 0, 0)], 4), "GGUF_TENSOR", id="rank"),
        pytest.param(gguf([], [tensor("a", (4,), 9, 0)], 16), "GGUF_TENSOR", id="type"),
        pytest.param(gguf([], [tensor("a", (255,), 12, 0)], 144), "GGUF_TENSOR", id="block"),
        pytest.param(gguf([], [tensor("a", (4,), 0, 32)], 48), "GGUF_LAYOUT", id="gap"),
        pytest.param(gguf([], [*ONE, tensor("b", (4,), 0, 0)], 32), "GGUF_LAYOUT", id="overlap"),
        pytest.param(gguf([], ONE, 15), "GGUF_TRUNCATED", id="cut"),
        pytest.param(
            gguf([], [tensor("a", (2**63, 2**63), 0, 0)], 16), "GGUF_TRUNCATED", id="overflow"
        ),
    ],
)
def test_what_does_not_hold_is_refused_by_name(content: bytes, code: str) -> None:
    assert refusal(content) == code


def test_a_header_longer_than_is_taken_is_refused() -> None:
    content = gguf([pair("a", STRING, text(bytes(5000)))], ONE, 16)
    with pytest.raises(FormatError) as raised:
        parse(lambda descriptor, size: read_gguf(descriptor, size, most_bytes=4096), content)
    assert raised.value.code == "GGUF_TOO_LARGE"


def test_a_file_that_shrinks_while_it_is_read_is_truncated() -> None:
    content = gguf([pair("a", STRING, text(bytes(600_000)))], ONE, 16)
    with pytest.raises(FormatError) as raised:
        parse(lambda descriptor, size: read_gguf(descriptor, size + 10**6), content[:400_000])
    assert raised.value.code == "GGUF_TRUNCATED"


def test_block_sizes_are_those_that_bits_and_scales_add_up_to() -> None:
    """Bits per weight as llama.cpp prints them."""
    stated = {"Q4_0": 4.5, "Q8_0": 8.5, "Q2_K": 2.625, "Q4_K": 4.5, "Q6_K": 6.5625, "BF16": 16}
    for name, block, size in GGML_TYPES.values():
        assert size * 8 / block == stated.get(name, size * 8 / block)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_header_or_a_refusal(content: bytes) -> None:
    read_or_refuse(content)
    read_or_refuse(b"GGUF" + struct.pack("<I", 3) + content)


@given(
    st.lists(
        st.builds(
            pair,
            st.sampled_from(["a", "b", "general.alignment", "general.file_type"]),
            st.integers(0, 14),
            st.binary(max_size=40),
        ),
        max_size=4,
    ),
    st.lists(
        st.builds(
            tensor,
            st.sampled_from(["a", "b"]),
            st.lists(st.integers(0, 2**64 - 1), max_size=5),
            st.integers(0, 40),
            st.integers(0, 2**64 - 1),
        ),
        max_size=3,
    ),
    st.tuples(st.integers(0, 70_000), st.integers(0, 17_000)) | st.none(),
)
def test_any_structure_is_a_header_or_a_refusal(
    pairs: list[bytes], tensors: list[bytes], claimed: tuple[int, int] | None
) -> None:
    read_or_refuse(gguf(pairs, tensors, 64, claimed=claimed))


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_any_changed_byte_is_a_header_or_a_refusal(place: int, byte: int) -> None:
    content = bytearray(small_gguf())
    content[place % len(content)] = byte
    read_or_refuse(bytes(content))


@given(st.integers(0, 1000))
def test_every_truncation_is_refused(length: int) -> None:
    content = small_gguf()
    if length < len(content):
        refusal(content[:length])


def read_or_refuse(content: bytes) -> None:
    try:
        header = read(content)
    except FormatError:
        return
    assert header.size <= len(content)
    assert sum(total.size for total in header.types.values()) <= len(content) - header.size
