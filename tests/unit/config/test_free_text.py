"""What a node says of itself in every anchor, at level 3: docs/protocol.md 6.2."""

from pathlib import Path

import pytest

from swt3_agent.config import load_config
from swt3_agent.errors import ConfigError


def written(tmp_path: Path, level: int, line: str) -> Path:
    file = tmp_path / "agent.yaml"
    file.write_text(f"clearing_level: {level}\n{line}\n")
    return file


@pytest.mark.parametrize(
    "key", ["agent_id", "cycle_id", "jurisdiction", "legal_basis", "purpose_class"]
)
def test_a_label_with_prose_keeps_a_node_of_level_3_from_starting(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=key) as raised:
        load_config({}, written(tmp_path, 3, f"{key}: The patient said so"))
    assert "patient" not in raised.value.message
    load_config({}, written(tmp_path, 2, f"{key}: The patient said so"))
    load_config({}, written(tmp_path, 3, f"{key}: DE-17"))


def test_of_a_policy_only_the_hash_travels(tmp_path: Path) -> None:
    file = written(tmp_path, 3, "policy_version: the one of last summer")
    assert load_config({}, file).labels.policy_version == "the one of last summer"
