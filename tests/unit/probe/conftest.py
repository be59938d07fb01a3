from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.software_tpm import short_directory


@pytest.fixture
def room() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory
