"""Headers of safetensors files: what holds is told, what does not is refused by name."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.collect.headers.header import Header
from swt3_agent.collect.headers.safetensors import read_safetensors
from swt3_agent.errors import FormatError
from tests.support.weight_files import safetensors, with_header
from tests.unit.collect.headers.files import parse

EMPTY = b'{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
TWO = {"a.weight": ("BF16", (2, 3)), "b.weight": ("F32", (4,))}


def read(content: bytes) -> Header:
    return parse(read_safetensors, content)


def refusal(content: bytes) -> str:
    with pytest.raises(FormatError) as raised:
        read(content)
    assert raised.value.remedy
    return raised.value.code


def entry(begin: int = 0, end: int = 8, **changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [begin, end], **changes}


def test_types_sizes_and_digest_are_told() -> None:
    content = safetensors(TWO, {"format": "pt"})
    header = read(content)
    assert header.size == len(content) - 28
    assert header.digest == hashlib.sha256(content[: header.size]).hexdigest()
    assert header.as_json() == {
        "format": "safetensors",
        "digest": header.digest,
        "size": header.size,
        "tensors": 2,
        "parameters": 10,
        "types": {"BF16": {"tensors": 1, "bytes": 12}, "F32": {"tensors": 1, "bytes": 16}},
        "parts": {},
        "metadata": {"format": "pt"},
    }


def test_a_known_file_of_another_writer_is_read() -> None:
    """The example of the format's documentation: one empty file, one padded with spaces."""
    assert read(with_header(b"{}", 0)).tensors == 0
    padded = b'{"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}   '
    assert read(with_header(padded, 16)).parameters == 4


def test_names_that_tell_a_method_are_counted() -> None:
    header = read(
        safetensors(
            {
                "model.layers.0.q_proj.qweight": ("I32", (4,)),
                "model.layers.0.q_proj.scales": ("F16", (2,)),
                "base_model.q_proj.lora_A.weight": ("F16", (2,)),
                "qweight_of_nothing": ("F16", (2,)),
            }
        )
    )
    assert header.parts == {"qweight": 1, "scales": 1, "lora_A": 1}


def test_a_scalar_and_an_empty_tensor_are_tensors() -> None:
    header = read(with_header({"one": entry(0, 4, shape=[]), "none": entry(4, 4, shape=[0, 7])}, 4))
    assert (header.tensors, header.parameters) == (2, 1)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"", "SAFETENSORS_TRUNCATED", id="nothing"),
        pytest.param(b"\x01\x00\x00", "SAFETENSORS_TRUNCATED", id="no length"),
        pytest.param(b"\xff" * 8, "SAFETENSORS_TRUNCATED", id="a length without end"),
        pytest.param(with_header(b" {}", 0), "SAFETENSORS_JSON", id="space in front"),
        pytest.param(with_header(b"[]", 0), "SAFETENSORS_JSON", id="no object"),
        pytest.param(with_header(b'{"a"', 0), "SAFETENSORS_JSON", id="no JSON"),
        pytest.param(
            with_header(b'{"a":%s,"\\u0061":%s}' % (EMPTY, EMPTY), 0),
            "SAFETENSORS_JSON",
            id="twice",
        ),
        pytest.param(with_header(b'{"a":%s}{}' % EMPTY, 0), "SAFETENSORS_JSON", id="two objects"),
        pytest.param(with_header(b'{"a":%s,}' % EMPTY, 0), "SAFETENSORS_JSON", id="comma"),
        pytest.param(with_header(b'{"a" %s}' % EMPTY, 0), "SAFETENSORS_JSON", id="no colon"),
        pytest.param(with_header(b'{"a":%s' % EMPTY, 0), "SAFETENSORS_JSON", id="no end"),
        pytest.param(with_header(b'{"a\\":%s}' % EMPTY, 0), "SAFETENSORS_JSON", id="escaped quote"),
        pytest.param(with_header(b'{"\xff":%s}' % EMPTY, 0), "SAFETENSORS_JSON", id="no UTF-8"),
        pytest.param(with_header(b'{"\\ud800":%s}' % EMPTY, 0), "SAFETENSORS_JSON", id="surrogate"),
        pytest.param(with_header(b"{" * 2000, 0), "SAFETENSORS_JSON", id="deep"),
        pytest.param(
            with_header(b'{"a":%s}' % EMPTY.replace(b"[0]", b"[NaN]"), 0),
            "SAFETENSORS_JSON",
            id="no number",
        ),
        pytest.param(
            with_header(b'{"a":%s}' % EMPTY.replace(b"[0]", b"[[[0]]]"), 0),
            "SAFETENSORS_JSON",
            id="deep within",
        ),
        pytest.param(with_header({"a": entry(other={})}, 8), "SAFETENSORS_TENSOR", id="object"),
        pytest.param(with_header({"a": 1}, 0), "SAFETENSORS_TENSOR", id="no tensor"),
        pytest.param(with_header({"a": entry(dtype="F5")}, 8), "SAFETENSORS_TENSOR", id="type"),
        pytest.param(with_header({"a": entry(dtype=["F32"])}, 8), "SAFETENSORS_TENSOR", id="list"),
        pytest.param(with_header({"a": entry(shape=[-2])}, 8), "SAFETENSORS_TENSOR", id="below 0"),
        pytest.param(with_header({"a": entry(shape=[True])}, 8), "SAFETENSORS_TENSOR", id="bool"),
        pytest.param(with_header({"a": entry(shape=[1] * 33)}, 4), "SAFETENSORS_TENSOR", id="rank"),
        pytest.param(
            with_header({"a": entry(shape=[2**61] * 3)}, 8), "SAFETENSORS_TENSOR", id="overflow"
        ),
        pytest.param(with_header({"a": entry(8, 0)}, 8), "SAFETENSORS_TENSOR", id="backwards"),
        pytest.param(with_header({"a": entry(0, 4)}, 4), "SAFETENSORS_TENSOR", id="size"),
        pytest.param(
            with_header({"a": entry(other=1)}, 8), "SAFETENSORS_TENSOR", id="more than a tensor"
        ),
        pytest.param(
            with_header({"a": entry(), "b": entry(4, 12)}, 12), "SAFETENSORS_LAYOUT", id="overlap"
        ),
        pytest.param(
            with_header({"a": entry(), "b": entry(9, 17)}, 17), "SAFETENSORS_LAYOUT", id="gap"
        ),
        pytest.param(with_header({"a": entry(1, 9)}, 9), "SAFETENSORS_LAYOUT", id="gap first"),
        pytest.param(with_header({"a": entry()}, 9), "SAFETENSORS_LAYOUT", id="more behind"),
        pytest.param(with_header({"a": entry()}, 7), "SAFETENSORS_TRUNCATED", id="cut"),
        pytest.param(
            with_header({"__metadata__": {"a": 1}}, 0), "SAFETENSORS_METADATA", id="metadata"
        ),
        pytest.param(with_header({"__metadata__": []}, 0), "SAFETENSORS_METADATA", id="a list"),
    ],
)
def test_what_does_not_hold_is_refused_by_name(content: bytes, code: str) -> None:
    assert refusal(content) == code


def test_a_header_larger_than_is_taken_is_refused_before_it_is_read() -> None:
    assert refusal(with_header(b"{}" + b" " * (16 << 20), 0)) == "SAFETENSORS_TOO_LARGE"


def test_metadata_are_kept_within_bounds() -> None:
    many = {f"key {number:03}": "x" for number in range(100)} | {"long": "y" * 1000}
    header = read(with_header({"__metadata__": many}, 0))
    assert len(header.metadata) == 16
    assert "long" not in header.metadata


def test_metadata_of_more_entries_than_anybody_writes_are_refused() -> None:
    many = {f"{number:x}": "" for number in range(65_537)}
    assert refusal(with_header({"__metadata__": many}, 0)) == "SAFETENSORS_METADATA"


def test_texts_with_quotes_braces_and_backslashes_end_where_they_end() -> None:
    text = '{"tag": "a\\"}, \\\\'
    odd = 'layer "0" \\ {x}:'
    header = read(with_header({"__metadata__": {odd: text}, odd: entry()}, 8))
    assert (header.metadata, header.parameters) == ({odd: text}, 2)


def test_an_adapter_of_many_experts_is_read() -> None:
    """One file, whatever its size: rank 1 on each expert of a model of today."""
    names = (
        f"base_model.model.model.layers.{layer}.mlp.experts.{expert}.{projection}.lora_{end}.weight"
        for layer in range(48)
        for expert in range(128)
        for projection in ("gate_proj", "up_proj", "down_proj")
        for end in "AB"
    )
    tensors = dict.fromkeys(names, ("U8", (1,)))
    content = safetensors(tensors)
    assert len(content) > 4 << 20
    assert read(content).parts == {"lora_A": 18_432, "lora_B": 18_432}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_header_or_a_refusal(content: bytes) -> None:
    read_or_refuse(content)
    read_or_refuse(with_header(content, 8))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "__metadata__"]),
        JSON
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "BF16", "F4", "nothing"]) | JSON,
                "shape": st.lists(st.integers(-1, 2**70), max_size=4) | JSON,
                "data_offsets": st.lists(st.integers(-1, 2**70), max_size=3) | JSON,
            }
        ),
    )
)
def test_any_json_is_a_header_or_a_refusal(header: object) -> None:
    read_or_refuse(with_header(json.dumps(header).encode(), 8))


@given(st.integers(0, 200), st.integers(0, 255))
def test_any_changed_byte_is_a_header_or_a_refusal(place: int, byte: int) -> None:
    content = bytearray(safetensors(TWO, {"format": "pt"}))
    content[place % len(content)] = byte
    read_or_refuse(bytes(content))


@given(st.integers(0, 300))
def test_every_truncation_is_refused(length: int) -> None:
    content = safetensors(TWO)
    if length < len(content):
        refusal(content[:length])


def read_or_refuse(content: bytes) -> None:
    try:
        header = read(content)
    except FormatError:
        return
    assert sum(total.size for total in header.types.values()) == len(content) - header.size
