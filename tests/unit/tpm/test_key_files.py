import stat
from pathlib import Path

import msgspec
import pytest

from swt3_agent.errors import TpmError
from swt3_agent.tpm.key_files import (
    BLOB_FORMAT,
    KeyBlob,
    create_auth,
    read_auth,
    read_blob,
    retire_blob,
    write_blob,
)

BLOB = KeyBlob(
    format=BLOB_FORMAT,
    public=b"\x00public",
    private=b"\xffprivate",
    parent_template=b"template",
    parent_name=b"name",
)


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


def test_a_directory_without_a_key_has_none(tmp_path: Path) -> None:
    assert read_blob(tmp_path / "keys") is None
    assert read_auth(tmp_path / "keys") is None


def test_a_stored_key_is_read_again_and_private(tmp_path: Path) -> None:
    keys_dir = tmp_path / "keys"
    write_blob(keys_dir, BLOB)
    auth = create_auth(keys_dir)
    assert read_blob(keys_dir) == BLOB
    assert read_auth(keys_dir) == auth
    assert len(auth) == 32
    assert auth[-1] != 0
    assert stat.S_IMODE(keys_dir.stat().st_mode) == 0o700
    assert {path.name for path in keys_dir.iterdir()} == {"ak.json", "ak.auth"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys_dir.iterdir()} == {0o600}


def test_what_a_crash_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".ak.json.new").write_bytes(b"half a bl")
    write_blob(tmp_path, BLOB)
    assert read_blob(tmp_path) == BLOB


def test_a_retired_key_is_kept_aside(tmp_path: Path) -> None:
    retire_blob(tmp_path)
    write_blob(tmp_path, BLOB)
    retire_blob(tmp_path)
    assert read_blob(tmp_path) is None
    assert (tmp_path / "ak.json.retired").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        msgspec.json.encode({**msgspec.to_builtins(BLOB), "more": 1}),
        msgspec.json.encode({**msgspec.to_builtins(BLOB), "public": "not base64!"}),
        msgspec.json.encode({**msgspec.to_builtins(BLOB), "format": "swt3-agent/ak/2"}),
        b" " * 20_000,
    ],
)
def test_a_damaged_key_is_refused_and_never_taken_for_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ak.json").write_bytes(content)
    with pytest.raises(TpmError) as caught:
        read_blob(tmp_path)
    assert caught.value.code == "TPM_KEY_UNUSABLE"


@pytest.mark.parametrize("size", [0, 31, 33])
def test_an_authvalue_of_another_length_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "ak.auth").write_bytes(bytes(size))
    with pytest.raises(TpmError) as caught:
        read_auth(tmp_path)
    assert caught.value.code == "TPM_KEY_UNUSABLE"


def test_a_credential_comes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    auth = create_auth(tmp_path)
    assert read_auth(tmp_path) == auth
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "ak-auth").write_bytes(b"\x07" * 32)
    assert read_auth(tmp_path) == b"\x07" * 32


@pytest.mark.permissions
def test_a_key_that_may_not_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    write_blob(tmp_path, BLOB)
    (tmp_path / "ak.json").chmod(0)
    with pytest.raises(TpmError) as caught:
        read_blob(tmp_path)
    assert caught.value.code == "TPM_KEY_UNUSABLE"
