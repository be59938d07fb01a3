"""The attestation key at rest: its TPM-wrapped blob and its authValue.

``keys_dir/ak.json`` is useless without the TPM that made it; ``ak.auth``, or the systemd
credential ``ak-auth``, keeps other users of that TPM from signing with the key.
"""

import contextlib
import os
import secrets
from pathlib import Path

import msgspec

from swt3_agent.errors import TpmError

BLOB_NAME = "ak.json"
AUTH_NAME = "ak.auth"
CREDENTIAL_NAME = "ak-auth"
AUTH_SIZE = 32
MAX_BLOB = 16 * 1024


class KeyBlob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``public`` and ``private`` are TPM2B structures, ``parent_template`` the TPM2B_PUBLIC that
    recreates the storage primary, ``parent_name`` the Name it must then have."""

    format: str
    public: bytes
    private: bytes
    parent_template: bytes
    parent_name: bytes


BLOB_FORMAT = "swt3-agent/ak/1"


def read_blob(keys_dir: Path) -> KeyBlob | None:
    """The stored key, None where there is none. Raises TpmError TPM_KEY_UNUSABLE when damaged."""
    path = keys_dir / BLOB_NAME
    try:
        blob = msgspec.json.decode(_read(path, MAX_BLOB), type=KeyBlob)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # msgspec's errors are ValueErrors too
        raise unusable(f"{path} is damaged: {error}") from error
    if blob.format != BLOB_FORMAT:
        raise unusable(f"{path} has the unknown format {blob.format!r}")
    return blob


def write_blob(keys_dir: Path, blob: KeyBlob) -> None:
    """Store the key durably; a crash leaves the old file or the new one."""
    _write(keys_dir / BLOB_NAME, msgspec.json.format(msgspec.json.encode(blob)) + b"\n")


def retire_blob(keys_dir: Path) -> None:
    """Set the stored key aside, so that a new one can take its place."""
    with contextlib.suppress(FileNotFoundError):
        (keys_dir / BLOB_NAME).replace(keys_dir / f"{BLOB_NAME}.retired")


def read_auth(keys_dir: Path) -> bytes | None:
    """The authValue: the credential ``ak-auth`` where systemd gives one, else ``ak.auth``."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    candidates = [keys_dir / AUTH_NAME]
    if credentials:
        candidates.insert(0, Path(credentials) / CREDENTIAL_NAME)
    for path in candidates:
        try:
            value = _read(path, AUTH_SIZE)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise unusable(f"the authValue in {path} cannot be read: {error}") from error
        if len(value) != AUTH_SIZE:
            raise unusable(f"the authValue in {path} has {len(value)} bytes, not {AUTH_SIZE}")
        return value
    return None


def create_auth(keys_dir: Path) -> bytes:
    """Draw an authValue and store it durably, before any key depends on it."""
    value = secrets.token_bytes(AUTH_SIZE - 1) + bytes([1 + secrets.randbelow(255)])
    _write(keys_dir / AUTH_NAME, value)  # not ending in zero: a TPM strips trailing zeros
    return value


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it is longer than {limit} bytes")
    return content


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise TpmError(
            "TPM_KEY_NOT_STORED",
            f"the attestation key cannot be stored in {path}: {error.strerror}",
            remedy="make the directory writable for the agent and see that its disk has space",
        ) from error


def unusable(why: str) -> TpmError:
    """The error for a key that is there and does not work; never a reason to make another."""
    return TpmError(
        "TPM_KEY_UNUSABLE",
        f"the attestation key cannot be used: {why}",
        remedy="restore keys/ak.json and keys/ak.auth of this TPM from a backup of the state "
        "directory; until then heads are unsigned (this version replaces no key: a new key is a "
        "new identity)",
    )
