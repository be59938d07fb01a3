"""A small model for the demo: real safetensors files and a LoRA adapter, written to disk."""

import json
import random
import struct
from pathlib import Path

HIDDEN = 256
LAYERS = 4
LORA_RANK = 8
_BYTES_PER_VALUE = 2  # BF16
_SEED = 20_26


def write_model(directory: Path) -> Path:
    """Write base weights in two shards and an adapter below ``directory``; return the model."""
    model = directory / "demo-model"
    adapter = model / "adapters" / "polite"
    adapter.mkdir(parents=True)
    source = random.Random(_SEED)  # noqa: S311  weights, not secrets: the same on every run
    weight_map: dict[str, str] = {}
    for shard, layers in ((1, range(LAYERS // 2)), (2, range(LAYERS // 2, LAYERS))):
        name = f"model-{shard:05d}-of-00002.safetensors"
        tensors = {
            f"model.layers.{layer}.self_attn.{part}_proj.weight": (HIDDEN, HIDDEN)
            for layer in layers
            for part in ("q", "k", "v", "o")
        }
        _write_safetensors(model / name, tensors, source)
        weight_map |= dict.fromkeys(tensors, name)
    _write_json(model / "model.safetensors.index.json", {"weight_map": weight_map})
    _write_json(
        model / "config.json",
        {"model_type": "demo", "hidden_size": HIDDEN, "num_hidden_layers": LAYERS},
    )
    _write_safetensors(
        adapter / "adapter_model.safetensors",
        {
            "base_model.model.layers.0.self_attn.q_proj.lora_A.weight": (LORA_RANK, HIDDEN),
            "base_model.model.layers.0.self_attn.q_proj.lora_B.weight": (HIDDEN, LORA_RANK),
        },
        source,
    )
    _write_json(
        adapter / "adapter_config.json",
        {"peft_type": "LORA", "r": LORA_RANK, "base_model_name_or_path": "demo-model"},
    )
    return model


def _write_safetensors(
    path: Path, tensors: dict[str, tuple[int, int]], source: random.Random
) -> None:
    header: dict[str, object] = {}
    offset = 0
    for name, shape in tensors.items():
        end = offset + shape[0] * shape[1] * _BYTES_PER_VALUE
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": (offset, end)}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + source.randbytes(offset))


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
