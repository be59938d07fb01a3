import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.collect import weights
from swt3_agent.collect.adapters import AdapterSpec
from swt3_agent.collect.measure import measure_model, model_digest
from swt3_agent.collect.model_files import Problem
from swt3_agent.collect.weights import ModelSpec, WeightsCollector, expected_claims
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.evidence import Evidence, Lack, RootOfTrust, Unavailable
from swt3_agent.protocol.fingerprint import content_hash
from tests.support.weight_files import safetensors, small_gguf


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of a shard that is none, and a configuration."""
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "model-00001-of-00001.safetensors").write_bytes(bytes(1000))
    (directory / "config.json").write_text("{}")
    return directory


def claims_of(*models: ModelSpec) -> list[dict[str, Any]]:
    reading = WeightsCollector(models).collect()
    assert isinstance(reading, Evidence)
    assert reading.root_of_trust is RootOfTrust.FILE_CONTENT
    canonical_json(reading.claims)
    listed: Any = reading.claims["models"]
    return list(listed)


def test_the_claims_of_each_model(model: Path, tmp_path: Path) -> None:
    approved = "ab" * 32
    good, bad = claims_of(
        ModelSpec("good", model, approved), ModelSpec("bad", tmp_path / "none", None)
    )
    assert good["name"] == "good"
    assert good["path_hash"] == content_hash(str(model))
    assert good["digest"] == model_digest(model)
    assert (good["files"], good["bytes"]) == (2, 1002)
    assert good["approved"] == approved
    assert good["problems"] == []
    assert hashlib.sha256(canonical_json(good["manifest"])).hexdigest() == good["digest"]
    assert (bad["digest"], bad["manifest"], bad["approved"]) == (None, None, None)
    assert [problem["code"] for problem in bad["problems"]] == ["MODEL_MISSING"]


def test_the_path_itself_is_not_in_the_claims(model: Path) -> None:
    assert str(model) not in str(claims_of(ModelSpec("good", model)))


def test_no_configured_model_is_absent() -> None:
    reading = WeightsCollector([]).collect()
    assert isinstance(reading, Unavailable)
    assert (reading.lack, reading.code) == (Lack.ABSENT, "MODEL_NONE")


def test_a_header_that_does_not_hold_costs_the_model_its_method_and_not_its_digest(
    model: Path,
) -> None:
    (found,) = claims_of(ModelSpec("m", model))
    assert found["digest"] == model_digest(model)
    (listed,) = found["headers"]
    assert listed["path"] == "model-00001-of-00001.safetensors"
    assert listed["problem"]["code"] == "SAFETENSORS_JSON"
    assert found["quantization"]["method"] is None
    assert [one["code"] for one in found["quantization"]["unknown"]] == ["SAFETENSORS_JSON"]


def test_approved_files_are_listed_with_what_they_are(tmp_path: Path) -> None:
    file = tmp_path / "small.gguf"
    file.write_bytes(small_gguf())
    published = hashlib.sha256(small_gguf()).hexdigest()
    spec = ModelSpec("m", file, stage="deployment", files={"small.gguf": published, "b": "0" * 64})
    (found,) = claims_of(spec)
    assert found["stage"] == "deployment"
    assert found["approved_files"] == [
        {
            "path": "small.gguf",
            "approved": published,
            "sha256": published,
            "bytes": len(small_gguf()),
        },
        {"path": "b", "approved": "0" * 64, "sha256": None, "bytes": None},
    ]
    assert (found["quantization"]["method"], found["quantization"]["bits"]) == ("gguf", 4)
    assert found["quantization"]["calibration"] == "calibration_v3.txt"


def test_a_hubs_cache_is_read_through_its_links_and_each_content_once(tmp_path: Path) -> None:
    cache = tmp_path / "models--maker--m"
    (cache / "blobs").mkdir(parents=True)
    (cache / "blobs/aa").write_bytes(safetensors({"w": ("F16", (2, 2))}))
    (cache / "blobs/bb").write_text('{"torch_dtype": "float16"}')
    for revision in ("one", "two"):
        snapshot = cache / "snapshots" / revision
        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").symlink_to("../../blobs/aa")
        (snapshot / "config.json").symlink_to("../../blobs/bb")
    (found,) = claims_of(ModelSpec("m", cache))
    assert [listed["path"] for listed in found["headers"]] == ["snapshots/one/model.safetensors"]
    assert found["quantization"]["method"] == "fp16"
    assert len(found["quantization"]["statements"]) == 2


def test_what_changed_since_it_was_hashed_is_not_told(model: Path) -> None:
    found = measure_model(model)
    assert found.measured is not None
    (model / "config.json").write_text('{"torch_dtype": "float16"}')
    told = found.measured.document("config.json")
    assert isinstance(told, Problem)
    assert told.code == "FILE_CHANGED"


def test_what_is_known_before_it_is_read_names_every_reference(model: Path) -> None:
    adapter = AdapterSpec("a", Path("a"), "cd" * 32)
    claims = expected_claims(
        ModelSpec("m", model, "ab" * 32, None, {"w.gguf": "ef" * 32}, (adapter,))
    )
    assert (claims["digest"], claims["approved"]) == (None, "ab" * 32)
    text = json.dumps(claims)
    assert "cd" * 32 in text
    assert "ef" * 32 in text


def test_headers_that_were_not_read_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody looked into bears no method out."""
    monkeypatch.setattr(weights, "MOST_HEADERS", 1)
    for name in ("a", "b"):
        content = safetensors({"w": ("BF16", (2,)), name: ("BF16", (2,))})
        (tmp_path / f"{name}.safetensors").write_bytes(content)
    reading = WeightsCollector([ModelSpec("m", tmp_path)]).collect()
    claims: Any = reading.claims
    (model,) = claims["models"]
    assert len(model["headers"]) == 1
    assert model["quantization"]["method"] is None
    assert [found["code"] for found in model["quantization"]["unknown"]] == ["HEADERS_UNREAD"]
