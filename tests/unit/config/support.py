"""Configurations written and loaded, for the tests beside this file."""

from pathlib import Path

import pytest

from swt3_agent.config import Config, load_config
from swt3_agent.errors import ConfigError


def written(directory: Path, text: str) -> Path:
    """``text`` as agent.yaml in ``directory``."""
    file = directory / "agent.yaml"
    file.write_text(text)
    return file


def loaded(directory: Path, text: str, **environ: str) -> Config:
    """The settings of agent.yaml with that text."""
    return load_config(environ, written(directory, text))


def refused(directory: Path, text: str, **environ: str) -> ConfigError:
    """Why it is refused; nothing that is called SECRETMARKER may be shown."""
    with pytest.raises(ConfigError) as caught:
        loaded(directory, text, **environ)
    assert caught.value.exit_code == 78
    assert "SECRETMARKER" not in f"{caught.value} {caught.value.remedy}"
    return caught.value
