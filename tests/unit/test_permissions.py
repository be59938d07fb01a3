"""The ground that tests of permissions stand on: whoever runs them can be refused something."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.permissions


def test_a_file_that_grants_nothing_is_refused(tmp_path: Path) -> None:
    sealed = tmp_path / "sealed"
    sealed.write_bytes(b"secret")
    sealed.chmod(0)
    with pytest.raises(PermissionError):
        sealed.read_bytes()


def test_a_directory_that_grants_nothing_takes_no_file(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        (tmp_path / "new").touch()
