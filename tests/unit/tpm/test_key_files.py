import stat
from pathlib import Path

import msgspec
import pytest

from swt3_agent.errors import TpmError
from swt3_agent.tcg.public import parse_public
from swt3_agent.tpm.auth_value import auth_for_new_key, create_auth, read_auth
from swt3_agent.tpm.key_files import (
    NEXT_FORMAT,
    NextKey,
    blob_of,
    earlier_path,
    find_blob,
    install_next,
    read_blob,
    read_next,
    remove_earlier,
    write_blob,
    write_next,
)
from tests.support.public_areas import other_key
from tests.unit.tcg.vectors import AK_TPMT

OTHER = other_key(AK_TPMT)
BLOB = blob_of(AK_TPMT, b"\xffprivate", b"template", b"name")
NEXT = NextKey(NEXT_FORMAT, blob_of(OTHER, b"\xfeprivate", b"template", b"name"), "ab" * 16)
VERSION_1 = {
    **{name: value for name, value in msgspec.to_builtins(BLOB).items() if name != "digest"},
    "format": "swt3-agent/ak/1",
}


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


def test_a_blob_of_version_1_stays_readable(tmp_path: Path) -> None:
    (tmp_path / "ak.json").write_bytes(msgspec.json.encode(VERSION_1))
    blob = read_blob(tmp_path)
    assert blob is not None
    assert (blob.tpmt, blob.private) == (AK_TPMT, b"\xffprivate")


def test_a_successor_takes_the_place_of_the_key_which_is_kept(tmp_path: Path) -> None:
    write_blob(tmp_path, BLOB)
    write_next(tmp_path, NEXT)
    for _ in range(2):  # a second time is harmless
        install_next(tmp_path)
        assert read_blob(tmp_path) == NEXT.key
        assert read_next(tmp_path) is None
        assert find_blob(tmp_path, AK_TPMT) == BLOB
    assert earlier_path(tmp_path, parse_public(AK_TPMT).name()).exists()


def test_both_keys_are_found_wherever_an_adoption_was_cut_short(tmp_path: Path) -> None:
    write_blob(tmp_path, BLOB)
    write_next(tmp_path, NEXT)
    earlier = earlier_path(tmp_path, parse_public(AK_TPMT).name())
    for step in range(3):
        assert find_blob(tmp_path, AK_TPMT) == BLOB
        assert find_blob(tmp_path, OTHER) == NEXT.key
        if step == 0:
            earlier.write_bytes((tmp_path / "ak.json").read_bytes())
        if step == 1:
            write_blob(tmp_path, NEXT.key)
    install_next(tmp_path)
    assert (read_blob(tmp_path), find_blob(tmp_path, AK_TPMT)) == (NEXT.key, BLOB)


def test_a_key_that_is_removed_is_found_no_more(tmp_path: Path) -> None:
    write_blob(tmp_path, BLOB)
    write_next(tmp_path, NEXT)
    install_next(tmp_path)
    name = parse_public(AK_TPMT).name()
    assert remove_earlier(tmp_path, name)
    assert not remove_earlier(tmp_path, name)
    assert find_blob(tmp_path, AK_TPMT) is None


def test_a_key_is_found_beside_a_damaged_one_and_never_taken_for_absent(tmp_path: Path) -> None:
    write_next(tmp_path, NEXT)
    (tmp_path / "ak.json").write_bytes(b"{")
    assert find_blob(tmp_path, OTHER) == NEXT.key
    with pytest.raises(TpmError) as caught:
        find_blob(tmp_path, AK_TPMT)
    assert caught.value.code == "TPM_KEY_DAMAGED"
    install_next(tmp_path)
    assert (tmp_path / "ak.json.damaged").exists()
    assert find_blob(tmp_path, AK_TPMT) is None


def test_an_unfinished_successor_is_none(tmp_path: Path) -> None:
    for content in (b"", b"{}", msgspec.json.encode({**msgspec.to_builtins(NEXT), "format": "x"})):
        (tmp_path / "ak.next.json").write_bytes(content)
        assert read_next(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        msgspec.json.encode({**msgspec.to_builtins(BLOB), "more": 1}),
        msgspec.json.encode({**msgspec.to_builtins(BLOB), "public": "not base64!"}),
        msgspec.json.encode({**msgspec.to_builtins(BLOB), "format": "swt3-agent/ak/3"}),
        msgspec.json.encode({**msgspec.to_builtins(BLOB), "private": "AAAA"}),
        msgspec.json.encode({**VERSION_1, "public": "AAAA"}),
        b" " * 20_000,
    ],
)
def test_a_damaged_key_is_refused_and_never_taken_for_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ak.json").write_bytes(content)
    with pytest.raises(TpmError) as caught:
        read_blob(tmp_path)
    assert caught.value.code == "TPM_KEY_DAMAGED"


@pytest.mark.parametrize("size", [0, 31, 33])
def test_an_authvalue_of_another_length_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "ak.auth").write_bytes(bytes(size))
    with pytest.raises(TpmError) as caught:
        read_auth(tmp_path)
    assert caught.value.code == "TPM_KEY_AUTH_LOST"


def test_a_damaged_authvalue_is_drawn_anew_for_a_new_key_unless_it_is_a_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ak.auth").write_bytes(b"short")
    drawn = auth_for_new_key(tmp_path)
    assert read_auth(tmp_path) == auth_for_new_key(tmp_path) == drawn
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "ak-auth").write_bytes(b"short")
    with pytest.raises(TpmError) as caught:
        auth_for_new_key(tmp_path)
    assert caught.value.code == "TPM_KEY_AUTH_LOST"


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
    assert caught.value.code == "TPM_KEY_UNREADABLE"
