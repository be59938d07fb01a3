import json
import struct
from pathlib import Path

from swt3_agent.cli.demo.model import write_model


def test_the_demo_model_is_real_safetensors_whose_index_names_every_tensor(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    index = json.loads((model / "model.safetensors.index.json").read_text())["weight_map"]
    seen: dict[str, str] = {}
    for file in sorted(model.rglob("*.safetensors")):
        data = file.read_bytes()
        (size,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + size])
        end = 0
        for name, tensor in header.items():
            begin, stop = tensor["data_offsets"]
            rows, columns = tensor["shape"]
            assert (begin, stop - begin) == (end, rows * columns * 2)
            end = stop
            seen[name] = file.name
        assert len(data) == 8 + size + end
    assert {name: file for name, file in seen.items() if "lora" not in name} == index
    assert any("lora_A" in name for name in seen)


def test_the_demo_model_is_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = write_model(tmp_path / "a"), write_model(tmp_path / "b")
    for file in first.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (second / file.relative_to(first)).read_bytes()
