"""What the steps of an enrolment share: reading files of strangers and private files."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swt3_agent.cli.files import read_bounded, write_whole
from swt3_agent.cli.text import joined, printable, show
from swt3_agent.errors import FormatError, UsageError
from swt3_agent.verify.enroller import enroller_key

MAX_KEY = 64 * 1024
PRIVATE = 0o600


def read_at_most(path: Path, most: int) -> bytes:
    """The file at ``path`` (``-``: standard input), whole.

    Raises UsageError ``FILE_UNREADABLE``, FormatError ``FILE_TOO_LARGE``.
    """
    data = read_bounded(path, most)
    if len(data) > most:
        raise FormatError(
            "FILE_TOO_LARGE",
            f"{path} is larger than {most} bytes, the most that this step takes",
            remedy="give the file of that step",
        )
    return data


def read_key(path: Path) -> Ed25519PrivateKey:
    """The enroller's private key; says so where others may read it too."""
    key = enroller_key(read_at_most(path, MAX_KEY))
    warn_if_open(path)
    return key


def warn_if_open(path: Path) -> None:
    """Say on standard error where a private file can be read by others."""
    try:
        mode = path.stat().st_mode
    except OSError:  # standard input
        return
    if mode & 0o077:
        show(f"warning: {printable(str(path))} can be read by others: `chmod 600` it", sys.stderr)


@contextmanager
def using_up(path: Path, pending: bytes, used: Callable[[], bytes]) -> Iterator[None]:
    """Use the state at ``path`` once: of several who try at a time one goes on, and where he fails
    it is as it was.

    ``pending`` is what he read there, and ``used`` gives what stands there afterwards. Raises
    FormatError ``ACTIVATION_REUSED``.
    """
    path = path.resolve()
    claimed = path.with_name(f".{path.name[:200]}.claimed")
    try:
        path.rename(claimed)  # of two only one finds it
    except FileNotFoundError:
        raise _reused(path) from None
    except OSError as error:
        raise UsageError(
            "STATE_UNWRITABLE",
            f"{path} cannot be marked as used: {error.strerror}",
            remedy="keep it in a directory of yours that can be written to",
        ) from error
    try:
        _check_unchanged(claimed, pending, path)
        yield
    except BaseException:
        claimed.rename(path)
        raise
    write_whole(claimed, used(), PRIVATE)
    claimed.rename(path)


def _check_unchanged(claimed: Path, pending: bytes, path: Path) -> None:
    """Another may have been through since it was read."""
    if read_bounded(claimed, len(pending)) != pending:
        raise _reused(path)


def _reused(path: Path) -> FormatError:
    return FormatError(
        "ACTIVATION_REUSED",
        f"{path} is being used, or was used, by another `enroll accept`",
        remedy="make a new challenge: `swt3-agent enroll challenge`",
    )


def read_digests(values: list[str]) -> frozenset[bytes]:
    """EK digests from ``--ek``: each ``sha256:HEX``, or a file of such lines (``#``: a remark).

    Raises UsageError ``BAD_EK``, ``FILE_UNREADABLE``.
    """
    found: set[bytes] = set()
    for value in values:
        if value.startswith("sha256:"):
            found.add(_digest(value, "--ek"))
            continue
        text = read_at_most(Path(value), 1024 * 1024).decode("ascii", "replace")
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        found.update(_digest(line, value) for line in lines if line)
    if not found:
        raise UsageError(
            "BAD_EK", "--ek names no digest at all", remedy="put one a line into that file"
        )
    return frozenset(found)


def _digest(text: str, where: str) -> bytes:
    name, _, digits = text.partition(":")
    try:
        digest = bytes.fromhex(digits) if digits == digits.lower() and name == "sha256" else b""
    except ValueError:
        digest = b""
    if len(digest) != sha256().digest_size or digest.hex() != digits:
        raise UsageError(
            "BAD_EK",
            f"{where}: {text[:80]!r} is not an EK's digest",
            remedy="write sha256: and 64 hex digits, as `swt3-agent enroll show REQUEST` does",
        )
    return digest


def tell(as_json: bool, step: str, facts: Mapping[str, Any], lines: list[str]) -> None:
    """Print what came of a step: ``facts`` as JSON, or ``lines``."""
    if as_json:
        print(json.dumps({"schema": f"swt3-agent/enroll-{step}/1", **facts}))
    else:
        show(joined(lines))
