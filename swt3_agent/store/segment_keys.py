"""Segment keys: what the salts of a segment's leaves are made from (docs/formats.md, "Log leaf").

A key lies apart from its segment, so that a segment can be handed on without the means to guess
its neighbours' records.
"""

import secrets
import threading
from pathlib import Path

from swt3_agent.errors import JournalError
from swt3_agent.store.durable import sync_directory, write_durably

KEY_SIZE = 32
_CACHED = 8


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
        """The key. Raises JournalError ``SEGMENT_KEY_MISSING`` where it is absent or damaged."""
        with self._lock:
            key = self._cache.get(segment)
        if key is not None:
            return key
        try:
            key = self.path(segment).read_bytes()
        except FileNotFoundError:
            key = b""
        except OSError as error:
            raise _missing(self.path(segment), error.strerror or str(error)) from error
        if len(key) != KEY_SIZE:
            raise _missing(self.path(segment), f"it holds {len(key)} of {KEY_SIZE} bytes")
        self._remember(segment, key)
        return key

    def ensure(self, segment: int) -> None:
        """Have a durable key before the segment takes its first record. Raises OSError."""
        path = self.path(segment)
        if path.exists() and path.stat().st_size == KEY_SIZE:  # kept from a start that failed,
            sync_directory(self._directory)  # perhaps for want of just this
            return
        key = secrets.token_bytes(KEY_SIZE)
        write_durably(path, key)
        self._remember(segment, key)

    def _remember(self, segment: int, key: bytes) -> None:
        with self._lock:
            while len(self._cache) >= _CACHED:
                self._cache.pop(next(iter(self._cache)))
            self._cache[segment] = key


def _missing(path: Path, what: str) -> JournalError:
    return JournalError(
        "SEGMENT_KEY_MISSING",
        f"segment key {path} cannot be read: {what}",
        remedy="restore the key from a backup: without it no record of that segment can be proved",
    )
