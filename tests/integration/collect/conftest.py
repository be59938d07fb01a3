from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.nvml import Machine, build_driver


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake NVIDIA driver's library."""
    return build_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture(scope="session")
def old_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without what drivers learned since 2019."""
    return build_driver(tmp_path_factory.mktemp("old-driver"), old=True)


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Machine]:
    """Sets up one of the machines of tests/nvml/machines."""
    return lambda name: Machine(name, tmp_path)
