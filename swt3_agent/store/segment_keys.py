"""Segment keys: what the salts of a segment's leaves are made from (docs/formats.md, "Log leaf").

A key lies apart from its segment, so that a segment can be handed on without the means to guess
its neighbours' records. Another key than the leaves were made with would give a second history of
the same log: the file therefore shows whether it still holds what was made for its segment.
"""

import re
import secrets
import threading
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from swt3_agent.errors import JournalError
from swt3_agent.store.durable import sync_directory, write_durably

KEY_SIZE = 32
_CACHED = 8
_KEY_NAME = re.compile(r"segment-([0-9]{16})\.key")
_CHECK_DOMAIN = b"swt3-agent:v1:segment-key:"


def key_file(segment: int, key: bytes) -> bytes:
    """What the file of a segment's key holds: the key, and a check over number and key."""
    return key + sha256(_CHECK_DOMAIN + segment.to_bytes(8, "big") + key).digest()


def segment_of_key(name: str) -> int | None:
    """The segment whose key a file of this name holds; None where it is no segment key."""
    match = _KEY_NAME.fullmatch(name)
    return None if match is None else int(match[1])


class SegmentKeys:
    """The keys in a directory, one file each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._cache: dict[int, bytes] = {}

    def path(self, segment: int) -> Path:
        """Where the key of ``segment`` lies."""
        return self._directory / f"segment-{segment:016d}.key"

    def get(self, segment: int) -> bytes:
        """The key.

        Raises JournalError ``SEGMENT_KEY_MISSING``, or ``SEGMENT_KEY_DAMAGED`` where the file does
        not hold the key that was made for this segment.
        """
        with self._lock:
            key = self._cache.get(segment)
        if key is not None:
            return key
        path = self.path(segment)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _unusable("MISSING", path, error.strerror or str(error)) from error
        key = content[:KEY_SIZE]
        if content != key_file(segment, key):
            raise _unusable("DAMAGED", path, "it is not as it was made for this segment")
        self._remember(segment, key)
        return key

    def ensure(self, segment: int) -> None:
        """Have a durable key before the segment takes its first record. Raises OSError."""
        if self.path(segment).exists():  # kept from a start that failed,
            with suppress(JournalError):  # and of no use to any record where it is damaged
                self.get(segment)
                sync_directory(self._directory)  # perhaps it failed for want of just this
                return
        key = secrets.token_bytes(KEY_SIZE)
        write_durably(self.path(segment), key_file(segment, key))
        self._remember(segment, key)

    def _remember(self, segment: int, key: bytes) -> None:
        with self._lock:
            while len(self._cache) >= _CACHED:
                self._cache.pop(next(iter(self._cache)))
            self._cache[segment] = key


def _unusable(what: str, path: Path, why: str) -> JournalError:
    return JournalError(
        f"SEGMENT_KEY_{what}",
        f"segment key {path} cannot be used: {why}",
        remedy="restore the key from a backup: without it no record of that segment can be proved",
    )
