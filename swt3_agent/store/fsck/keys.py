"""Checking what lies beside the log: key files, and who may read what is private."""

import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.durable import PRIVATE_DIRECTORY, PRIVATE_FILE
from swt3_agent.store.fsck.findings import Report
from swt3_agent.store.segment_keys import segment_of_key
from swt3_agent.store.state import Layout
from swt3_agent.tcg.public import parse_public

_AK_FILE = "ak.json"


class _KeyPayload(msgspec.Struct):
    ak_public: bytes


class _KeyFile(msgspec.Struct):
    public: bytes


class AkChecker:
    """Sees all records in order: the AK's blobs must be those of the newest KEY record."""

    def __init__(self, keys: Path, report: Report) -> None:
        self._path = keys / _AK_FILE
        self._report = report
        self._newest: tuple[int, bytes] | None = None

    def see(self, record: Record) -> None:
        """Remember the AK that ``record`` states, if it states one."""
        if record.kind is not Kind.KEY:
            return
        try:
            stated = msgspec.json.decode(record.payload, type=_KeyPayload)
            self._newest = record.seq, parse_public(stated.ak_public).name()
        except (FormatError, *MALFORMED):
            return

    def finish(self) -> None:
        """Compare it with the file."""
        if self._newest is None:
            return
        seq, name = self._newest
        where = str(self._path)
        try:
            blob = msgspec.json.decode(self._path.read_bytes(), type=_KeyFile)
            if parse_public(blob.public).name() == name:
                return
            detail = f"it is not the key that record {seq} states"
        except OSError as error:
            detail = f"record {seq} states a key, and it cannot be read: {error.strerror}"
            self._report("AK_MISSING", where, detail)
            return
        except MALFORMED as error:
            detail = f"it is damaged: {error}"
        except FormatError as error:
            detail = f"it is damaged: {error.message}"
        self._report("AK_DIFFERS", where, detail)


def check_key_files(keys: Path, segments: int, report: Report, *, live: bool) -> None:
    """Report keys of segments that are not there, where the log has ``segments`` of them.

    The key of the next segment is made before it, and ``live`` says that an agent may be at that.
    """
    numbers = (segment_of_key(path.name) for path in _entries(keys))
    for number in sorted(number for number in numbers if number is not None):
        where = f"segment {number}"
        if number > segments:
            report("SEGMENT_MISSING", where, "its key is there, and the segment is not")
        elif number == segments and not live:
            report("SEGMENT_KEY_UNUSED", where, "its key is there, and the segment is not")


def check_modes(layout: Layout, report: Report) -> None:
    """Report directories and files that others than the agent's user may read or write."""
    directories = [layout.journal, layout.custody, layout.evidence, layout.keys]
    for directory in (layout.root, *directories):
        _check_mode(directory, PRIVATE_DIRECTORY, report)
        for path in _entries(directory):
            if path not in directories:
                _check_mode(path, PRIVATE_FILE, report)


def _entries(directory: Path) -> Iterator[Path]:
    try:
        yield from sorted(directory.iterdir())
    except OSError:  # absent, or not for this user's eyes: others look after that
        return


def _check_mode(path: Path, widest: int, report: Report) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    of_kind = stat.S_ISDIR(mode) if widest == PRIVATE_DIRECTORY else stat.S_ISREG(mode)
    if of_kind and stat.S_IMODE(mode) & ~widest:
        report("STATE_MODE", str(path), f"its mode is {stat.S_IMODE(mode):04o}, not {widest:04o}")
