"""The directory in which a verifier keeps what it remembers (docs/formats.md, "Verifier state").

One file a log; written whole and durably, by one verifier at a time.
"""

import fcntl
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from swt3_agent.cli.files import make_directory, write_whole
from swt3_agent.errors import AgentError, FormatError
from swt3_agent.store.durable import sync_directory
from swt3_agent.verify.anchoring import read_trust
from swt3_agent.verify.memory import MAX_MEMORY, Memory, encode_memory
from swt3_agent.verify.remembering import (
    Memorable,
    learn_revocation,
    log_of,
    remember,
    remembered_sizes,
)

LOCK_WAIT_S = 10.0
_PRIVATE_DIRECTORY = 0o700
_PRIVATE_FILE = 0o600
_LOCK = "lock"


class VerifierState:
    """The open directory; nobody else has it open. What cannot be kept there leaves no verdict."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def sizes(self, node_id: str, log_id: str) -> Collection[int]:
        """At which sizes the root of this log is remembered."""
        return remembered_sizes(self._read(node_id, log_id), node_id, log_id)

    def recall(self, report: Memorable, trust: bytes) -> Memorable:
        """``report``, held against what is remembered; what it adds is durable when this returns.

        Raises AgentError ``STATE_UNREADABLE``, ``STATE_UNWRITABLE`` or ``OUTPUT_UNWRITABLE``.
        """
        place = log_of(report)
        if place is None:
            self._learn_revocation(trust)
            return report
        judged, memory = remember(report, self._read(*place), trust)
        if memory is not None:
            self._write(memory)
        return judged

    def _learn_revocation(self, trust: bytes) -> None:
        """Of a file that is not verified nothing is kept but that the enroller revoked its key."""
        try:
            statement = read_trust(trust).statement
        except FormatError:
            return
        place = statement.node_id, statement.log_id
        data = self._read(*place)
        memory = None if data is None else learn_revocation(data, *place, statement)
        if memory is not None:
            self._write(memory)

    def _path(self, node_id: str, log_id: str) -> Path:
        return self._directory / f"{node_id}-{log_id}.json"

    def _read(self, node_id: str, log_id: str) -> bytes | None:
        """The state file, or one byte more than any has; None where there is none."""
        path = self._path(node_id, log_id)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as stream:
                return stream.read(MAX_MEMORY + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable("UNREADABLE", path, error) from error

    def _write(self, memory: Memory) -> None:
        path = self._path(memory.node_id, memory.log_id)
        try:
            write_whole(path, encode_memory(memory), _PRIVATE_FILE)
            sync_directory(self._directory)
        except OSError as error:
            raise _unusable("UNWRITABLE", path, error) from error


@contextmanager
def opened_state(directory: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[VerifierState]:
    """The state in ``directory``, which is made if it is absent; waits for its turn.

    Raises AgentError ``STATE_UNWRITABLE``, and ``STATE_BUSY`` where another verifier keeps it.
    """
    path = directory / _LOCK
    try:
        make_directory(directory, _PRIVATE_DIRECTORY)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE_FILE)
    except OSError as error:
        raise _unusable("UNWRITABLE", path, error) from error
    try:
        _lock(fd, directory, time.monotonic() + wait_s)
        yield VerifierState(directory)
    finally:
        os.close(fd)


def _lock(fd: int, directory: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise AgentError(
                    "STATE_BUSY",
                    f"another verifier has kept {directory} for long",
                    remedy="wait for it to end, or judge with a state directory of your own",
                ) from None
            time.sleep(0.05)
        else:
            return


def _unusable(word: str, path: Path, error: OSError) -> AgentError:
    return AgentError(
        f"STATE_{word}",
        f"{path} cannot be used: {error.strerror or error}",
        remedy="give --state a directory that is yours; without it nothing is remembered",
    )
