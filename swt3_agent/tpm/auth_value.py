"""The authValue of the attestation keys, which keeps other users of the TPM from signing with them.

It is the file ``ak.auth`` or the systemd credential ``ak-auth``, and one for all keys of a node.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from swt3_agent.errors import TpmError
from swt3_agent.tpm import key_faults
from swt3_agent.tpm.private_files import read_private, write_private

AUTH_NAME = "ak.auth"
CREDENTIAL_NAME = "ak-auth"
AUTH_SIZE = 32


def read_auth(keys_dir: Path) -> bytes | None:
    """The authValue: the credential ``ak-auth`` where systemd gives one, else ``ak.auth``.

    Raises TpmError TPM_KEY_AUTH_LOST for one of another length, TPM_KEY_UNREADABLE.
    """
    for path in (*_credential(), keys_dir / AUTH_NAME):
        try:
            value = read_private(path, AUTH_SIZE)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise key_faults.unreadable(f"the authValue in {path}", str(error.strerror)) from error
        except ValueError as error:
            raise key_faults.auth_lost(f"the authValue in {path} is no such: {error}") from error
        if len(value) != AUTH_SIZE:
            why = f"the authValue in {path} has {len(value)} bytes, not {AUTH_SIZE}"
            raise key_faults.auth_lost(why)
        return value
    return None


def create_auth(keys_dir: Path) -> bytes:
    """Draw an authValue and store it durably, before any key depends on it."""
    value = secrets.token_bytes(AUTH_SIZE - 1) + bytes([1 + secrets.randbelow(255)])
    write_private(keys_dir / AUTH_NAME, value)  # not ending in zero: a TPM strips trailing zeros
    return value


def auth_for_new_key(keys_dir: Path) -> bytes:
    """The authValue that is there, a new one where there is none or only a damaged file.

    Raises TpmError where a credential is there and is not usable: it comes before any file.
    """
    try:
        return read_auth(keys_dir) or create_auth(keys_dir)
    except TpmError as error:
        if error.code != "TPM_KEY_AUTH_LOST" or any(path.exists() for path in _credential()):
            raise
    return create_auth(keys_dir)


def _credential() -> Iterator[Path]:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory:
        yield Path(directory) / CREDENTIAL_NAME
