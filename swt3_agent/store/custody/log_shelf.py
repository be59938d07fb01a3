"""Entries in encrypted files, many to a file (docs/formats.md, "Custody")."""

import errno
import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from swt3_agent.protocol.custodian import Recipient
from swt3_agent.protocol.custody import CustodyEntry
from swt3_agent.protocol.custody_file import (
    DATA_KEY_SIZE,
    FrameCipher,
    FrameType,
    encode_end,
    encode_entry,
    file_start,
    seal_header,
)
from swt3_agent.store.custody.shelf import create_private
from swt3_agent.store.durable import sync_directory, write_all
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)

SUFFIX = ".custody"
MAX_FILE_BYTES = 64 << 20
MAX_FILE_AGE_S = 3600.0
_MAX_FRAME_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """Whose entries they are, as the files say it."""

    node_id: str
    log_id: str


class LogShelf:
    """Files named by the time of their beginning, each under a data key that is forgotten when the
    file is finished: who breaks in later cannot read what was sealed to others."""

    def __init__(
        self,
        directory: Path,
        recipients: Sequence[Recipient],
        source: Source,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._recipients = recipients
        self._source = source
        self._now = now
        self._file: _OpenFile | None = None

    @property
    def directory(self) -> Path:
        """Where the files lie."""
        return self._directory

    def keep(self, entries: Sequence[CustodyEntry]) -> None:
        """Encrypt, write, sync. Raises OSError; what follows then goes to a new file."""
        self.settle()
        file = self._file or self._begin()
        try:
            file.write(entries)
        except OSError:
            self._file = None
            file.abandon()
            raise

    def probe(self) -> None:
        """Begin a file, where none is open: the next entries go there."""
        if self._file is None:
            self._begin()

    def settle(self) -> None:
        """Finish a file that is large or old enough, and forget its key."""
        file = self._file
        if file is not None and (
            file.size >= MAX_FILE_BYTES or self._now() - file.begun >= MAX_FILE_AGE_S
        ):
            self.close()

    def close(self) -> None:
        """Finish the open file."""
        file, self._file = self._file, None
        if file is not None:
            file.finish()

    def _begin(self) -> "_OpenFile":
        file = _OpenFile(self._directory, self._recipients, self._source, self._now())
        self._file = file
        return file


class _OpenFile:
    """A file that grows; ``size`` in bytes, all of them durable."""

    def __init__(
        self, directory: Path, recipients: Sequence[Recipient], source: Source, begun: float
    ) -> None:
        self.begun = begun
        self._frames = 0
        self._entries = 0
        file_id, data_key = secrets.token_bytes(16), secrets.token_bytes(DATA_KEY_SIZE)
        created_ms = time.time_ns() // 1_000_000
        header = seal_header(
            recipients,
            data_key,
            file_id=file_id,
            created_ms=created_ms,
            node_id=source.node_id,
            log_id=source.log_id,
        )
        self._cipher = FrameCipher(data_key, header)
        self._path = directory / f"{created_ms:016d}-{file_id.hex()}{SUFFIX}"
        self._fd = create_private(self._path)
        start = file_start(header)
        self.size = 0
        try:
            self._append(start)
            sync_directory(directory)
        except OSError:
            self.abandon()
            raise

    def write(self, entries: Sequence[CustodyEntry]) -> None:
        """Append ``entries``. Raises OSError; then nothing more may be written."""
        frames: list[bytes] = []
        group: list[bytes] = []
        size = 0
        for entry in entries:
            encoded = encode_entry(entry)
            if group and size + len(encoded) > _MAX_FRAME_BYTES:
                frames.append(self._frame(FrameType.ENTRIES, b"".join(group)))
                group, size = [], 0
            group.append(encoded)
            size += len(encoded)
        frames.append(self._frame(FrameType.ENTRIES, b"".join(group)))
        self._append(b"".join(frames))
        self._entries += len(entries)

    def finish(self) -> None:
        """Say that this is the end. Without it readers say that the file was not finished."""
        try:
            self._append(self._frame(FrameType.END, encode_end(self._entries)))
        except OSError as error:
            told = fields(Event.STORE_BEHIND, what=self._path, why=error)
            logger.warning("custody file is not finished %s", told)
            self._cut()
        finally:
            os.close(self._fd)

    def abandon(self) -> None:
        """Give the file up after a failure, with what is durable in it."""
        self._cut()
        os.close(self._fd)
        if not self._entries:
            with suppress(OSError):
                self._path.unlink()

    def _cut(self) -> None:
        with suppress(OSError):
            os.ftruncate(self._fd, self.size)

    def _frame(self, kind: FrameType, plaintext: bytes) -> bytes:
        number, self._frames = self._frames, self._frames + 1
        return self._cipher.encrypt(number, kind, plaintext)

    def _append(self, data: bytes) -> None:
        write_all(self._fd, data, self.size)
        os.fdatasync(self._fd)
        self._check_place()
        self.size += len(data)

    def _check_place(self) -> None:
        """Raise OSError where the file was removed, or its directory moved or mounted over: it can
        be written still, and nobody would find what is in it."""
        if not os.path.samestat(self._path.stat(), os.fstat(self._fd)):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(self._path))
