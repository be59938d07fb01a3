import hashlib
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.collect.measure import model_digest
from swt3_agent.collect.weights import ModelSpec, WeightsCollector
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.evidence import Evidence, Lack, RootOfTrust, Unavailable
from swt3_agent.protocol.fingerprint import content_hash


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
