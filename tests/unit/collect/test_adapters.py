"""Adapters of a model, through the collector that hashes it."""

import json
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.collect import adapters as module
from swt3_agent.collect.adapters import AdapterSpec
from swt3_agent.collect.measure import model_digest
from swt3_agent.collect.weights import ModelSpec, WeightsCollector
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.evidence import Evidence
from swt3_agent.protocol.fingerprint import content_hash
from tests.support.weight_files import safetensors


def write_adapter(directory: Path, **configuration: object) -> Path:
    directory.mkdir(parents=True)
    described = {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "base", **configuration}
    (directory / "adapter_config.json").write_text(json.dumps(described))
    tensors = {"q_proj.lora_A.weight": ("F16", (2, 4)), "q_proj.lora_B.weight": ("F16", (4, 2))}
    (directory / "adapter_model.safetensors").write_bytes(safetensors(tensors))
    return directory


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "config.json").write_text('{"torch_dtype": "bfloat16"}')
    (directory / "model.safetensors").write_bytes(safetensors({"w": ("BF16", (4, 4))}))
    return directory


def read(path: Path, *specs: AdapterSpec) -> dict[str, Any]:
    reading = WeightsCollector([ModelSpec("m", path, adapters=specs)]).collect()
    assert isinstance(reading, Evidence)
    canonical_json(reading.claims)
    claims: Any = reading.claims
    (found,) = claims["models"]
    return dict(found)


def codes(adapter: dict[str, Any]) -> list[str]:
    return [problem["code"] for problem in adapter["problems"]]


def test_an_adapter_within_its_model_is_found_and_has_its_directorys_digest(model: Path) -> None:
    directory = write_adapter(model / "adapters" / "polite")
    (adapter,) = read(model)["adapters"]
    assert adapter == {
        "name": "polite",
        "path_hash": content_hash(str(directory)),
        "within": "adapters/polite",
        "digest": model_digest(directory),
        "files": 2,
        "bytes": sum(file.stat().st_size for file in directory.iterdir()),
        "approved": None,
        "peft_type": "LORA",
        "rank": 8,
        "base_model": "base",
        "base_named": None,
        "problems": [],
    }


def test_an_adapter_elsewhere_is_measured_by_itself(model: Path, tmp_path: Path) -> None:
    directory = write_adapter(tmp_path / "elsewhere")
    (adapter,) = read(model, AdapterSpec("far", directory, "ab" * 32))["adapters"]
    assert (adapter["name"], adapter["within"]) == ("far", None)
    assert (adapter["digest"], adapter["approved"]) == (model_digest(directory), "ab" * 32)
    assert adapter["peft_type"] == "LORA"


@pytest.mark.parametrize("absolute", [True, False])
def test_a_configured_adapter_within_its_model_is_listed_once(model: Path, absolute: bool) -> None:
    directory = write_adapter(model / "polite")
    path = directory if absolute else Path("polite")
    (adapter,) = read(model, AdapterSpec("by the book", path, "ab" * 32))["adapters"]
    assert (adapter["name"], adapter["within"]) == ("by the book", "polite")
    assert adapter["approved"] == "ab" * 32


def test_a_model_that_is_an_adapter_itself_is_one(tmp_path: Path) -> None:
    directory = write_adapter(tmp_path / "alone")
    found = read(directory)
    (adapter,) = found["adapters"]
    assert (adapter["name"], adapter["within"]) == ("alone", ".")
    assert adapter["digest"] == found["digest"]


@pytest.mark.parametrize(
    ("base_model", "configuration", "directory", "named"),
    [
        ("meta-llama/Llama-3-8B", "meta-llama/Llama-3-8B", "model", True),
        ("unsloth/llama-3-8b", "meta-llama/Llama-3-8B", "model", True),
        ("meta-llama/Llama-3-8B", None, "Llama-3-8B", True),
        ("meta-llama/Llama-3-8B", None, "models--meta-llama--Llama-3-8B", True),
        ("/cache/models--meta-llama--Llama-3-8B/snapshots/ab", "x/llama-3-8b", "model", True),
        ("/base/Llama-3-8B/", "meta-llama/Llama-3-8B", "model", True),
        ("mistralai/Mistral-7B", "meta-llama/Llama-3-8B", "model", False),
        ("mistralai/Mistral-7B", None, "models--meta-llama--Llama-3-8B", False),
        ("mistralai/Mistral-7B", "/home/jo/checkpoint-500", "model", None),
        ("/home/jo/checkpoint-500", "meta-llama/Llama-3-8B", "model", None),
        ("mistralai/Mistral-7B", "", "model", None),
        ("mistralai/Mistral-7B", 7, "model", None),
        ("", "meta-llama/Llama-3-8B", "model", None),
        (None, "meta-llama/Llama-3-8B", "model", None),
    ],
)
def test_the_base_of_an_adapter_is_held_against_what_the_model_calls_itself(
    tmp_path: Path, base_model: object, configuration: object, directory: str, named: bool | None
) -> None:
    write_adapter(tmp_path / directory / "polite", base_model_name_or_path=base_model)
    described = {} if configuration is None else {"_name_or_path": configuration}
    (tmp_path / directory / "config.json").write_text(json.dumps(described))
    (adapter,) = read(tmp_path / directory)["adapters"]
    assert adapter["base_named"] is named


def test_a_model_without_adapters_has_none(model: Path) -> None:
    assert read(model)["adapters"] == []


def test_a_configured_adapter_that_is_missing_has_a_problem(model: Path) -> None:
    (adapter,) = read(model, AdapterSpec("gone", Path("gone"), "ab" * 32))["adapters"]
    assert (adapter["digest"], codes(adapter)) == (None, ["MODEL_MISSING"])


def test_a_directory_that_peft_did_not_write_is_no_adapter(model: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    (adapter,) = read(model, AdapterSpec("other", tmp_path / "other"))["adapters"]
    assert (adapter["digest"], codes(adapter)) == (None, ["ADAPTER_CONFIG"])


def test_a_configured_adapter_is_measured_also_where_its_model_cannot_be(tmp_path: Path) -> None:
    directory = write_adapter(tmp_path / "elsewhere")
    found = read(tmp_path / "no model", AdapterSpec("far", directory))
    assert found["digest"] is None
    (adapter,) = found["adapters"]
    assert adapter["digest"] == model_digest(directory)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "NOT_JSON"),
        (b"[]", "NOT_JSON"),
        (b'{"r":1,"r":2}', "DUPLICATE_KEY"),
        (b"[" * 40, "TOO_DEEP"),
        (b" " * (1 << 20) + b"{}", "TOO_LARGE"),
    ],
)
def test_a_configuration_of_another_form_is_a_problem(
    model: Path, content: bytes, code: str
) -> None:
    (write_adapter(model / "polite") / "adapter_config.json").write_bytes(content)
    (adapter,) = read(model)["adapters"]
    assert (adapter["digest"], codes(adapter)) == (None, [code])


def test_values_of_another_kind_are_null(model: Path) -> None:
    write_adapter(model / "odd", r=2**70, peft_type=["LORA"], base_model_name_or_path=7)
    (adapter,) = read(model)["adapters"]
    assert (adapter["rank"], adapter["peft_type"], adapter["base_model"]) == (None, None, None)
    assert adapter["problems"] == []


def test_a_link_out_of_the_adapter_is_a_problem_of_the_adapter(model: Path) -> None:
    (write_adapter(model / "polite") / "shared").symlink_to(model / "config.json")
    found = read(model)
    assert found["problems"] == []
    assert codes(found["adapters"][0]) == ["LINK_OUTSIDE"]


def test_more_adapters_than_are_described_are_said(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ADAPTERS", 2)
    for number in range(3):
        write_adapter(model / f"adapter-{number}")
    *_, last = read(model)["adapters"]
    assert codes(last) == ["ADAPTER_TOO_MANY"]


def test_adapters_do_not_count_as_the_models_own_weights(model: Path) -> None:
    write_adapter(model / "polite")
    found = read(model)
    assert [listed["path"] for listed in found["headers"]] == [
        "model.safetensors",
        "polite/adapter_model.safetensors",
    ]
    assert found["headers"][1]["header"]["parts"] == {"lora_A": 1, "lora_B": 1}
    assert found["quantization"]["method"] == "bf16"
