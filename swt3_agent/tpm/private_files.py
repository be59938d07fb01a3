"""Small files of keys and what belongs to them: bounded, private, durable, replaced as a whole."""

import os
from pathlib import Path

from swt3_agent.errors import TpmError


def read_private(path: Path, limit: int) -> bytes:
    """The content of a file. Raises OSError, and ValueError for more than ``limit`` bytes."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it is longer than {limit} bytes")
    return content


def write_private(path: Path, content: bytes) -> None:
    """Store a file durably, for our user alone; a crash leaves the old content or the new one.

    Raises TpmError TPM_KEY_NOT_STORED.
    """
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
        sync_directory(path.parent)
    except OSError as error:
        raise not_stored(path, error) from error


def sync_directory(directory: Path) -> None:
    """Make names in it durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def not_stored(path: Path, error: OSError) -> TpmError:
    """The error for a directory of keys that cannot be written."""
    return TpmError(
        "TPM_KEY_NOT_STORED",
        f"the attestation key cannot be stored in {path}: {error.strerror}",
        remedy="make the directory writable for the agent and see that its disk has space",
    )
