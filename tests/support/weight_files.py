"""Weight files as their public formats describe them, by struct alone."""

import json
import struct
from collections.abc import Mapping, Sequence

SIZES = {"F32": 4, "F16": 2, "BF16": 2, "I32": 4, "I8": 1, "U8": 1, "F8_E4M3": 1}


def safetensors(
    tensors: Mapping[str, tuple[str, Sequence[int]]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """A safetensors file of zeros: name -> type and shape."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, (kind, shape) in tensors.items():
        size = SIZES[kind]
        for dimension in shape:
            size *= dimension
        header[name] = {
            "dtype": kind,
            "shape": list(shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    return with_header(header, offset)


def with_header(header: object, room: int) -> bytes:
    """Any JSON as the header of a safetensors file with ``room`` bytes behind it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(room)


U32, STRING, ARRAY = 4, 8, 9


def text(value: bytes) -> bytes:
    """A text as GGUF has it."""
    return struct.pack("<Q", len(value)) + value


def pair(key: str, kind: int, value: bytes) -> bytes:
    """A key with its value as GGUF has it."""
    return text(key.encode()) + struct.pack("<I", kind) + value


def number(key: str, value: int) -> bytes:
    """A pair of a 32-bit number."""
    return pair(key, U32, struct.pack("<I", value))


def texts(key: str, values: Sequence[bytes], count: int | None = None) -> bytes:
    """A pair of an array of texts, which may claim another ``count``."""
    claimed = len(values) if count is None else count
    return pair(key, ARRAY, struct.pack("<IQ", STRING, claimed) + b"".join(map(text, values)))


def tensor(name: str, shape: Sequence[int], code: int, offset: int) -> bytes:
    """The description of one tensor."""
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name.encode()) + dimensions + struct.pack("<IQ", code, offset)


def gguf(
    pairs: Sequence[bytes],
    tensors: Sequence[bytes],
    room: int,
    *,
    version: int = 3,
    alignment: int = 32,
    claimed: tuple[int, int] | None = None,
) -> bytes:
    """A GGUF file with ``room`` bytes of tensors; ``claimed``: false counts of tensors, pairs."""
    counts = (len(tensors), len(pairs)) if claimed is None else claimed
    header = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join([*pairs, *tensors])
    return header + bytes(-len(header) % alignment) + bytes(room)


def small_gguf(file_type: int = 15) -> bytes:
    """A whole file: metadata, a tokenizer, a quantized tensor and a plain one."""
    return gguf(
        [
            pair("general.architecture", STRING, text(b"llama")),
            number("general.file_type", file_type),
            number("general.quantization_version", 2),
            texts("tokenizer.ggml.tokens", [b"<s>", b"</s>", b""]),
            pair("quantize.imatrix.dataset", STRING, text(b"calibration_v3.txt")),
        ],
        [tensor("blk.0.attn_q.weight", (256, 2), 12, 0), tensor("norm.weight", (8,), 0, 288)],
        288 + 32,
    )
