"""Checking what lies beside the log: key files, and who may read what is private."""

import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.key_record import parse_key_record
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.durable import PRIVATE_DIRECTORY, PRIVATE_FILE
from swt3_agent.store.fsck.findings import Report
from swt3_agent.store.segment_keys import segment_of_key
from swt3_agent.store.state import Layout
from swt3_agent.tcg.public import parse_public

_AK_FILES = ("ak.json", "ak.next.json", "ak.[0-9a-f]*.json")
"""The key that signs, its successor, earlier ones (docs/formats.md, "State")."""


class _KeyFile(msgspec.Struct):
    public: bytes


class _NextFile(msgspec.Struct):
    key: _KeyFile


class AkChecker:
    """Sees all records in order: the key that the newest one names must be there."""

    def __init__(self, keys: Path, report: Report) -> None:
        self._keys = keys
        self._report = report
        self._newest: tuple[int, bytes] | None = None

    def see(self, record: Record) -> None:
        """Remember the AK that ``record`` states, if it states one."""
        if record.kind is not Kind.KEY:
            return
        try:
            stated = parse_key_record(record.payload)
            if stated.ak_public is not None:
                self._newest = record.seq, parse_public(stated.ak_public).name()
        except FormatError:
            return

    def finish(self) -> None:
        """Look for it in the files of keys."""
        if self._newest is None:
            return
        seq, name = self._newest
        first = self._keys / _AK_FILES[0]
        paths = [first, *(path for glob in _AK_FILES[1:] for path in self._keys.glob(glob))]
        details = []
        for path in paths:
            try:
                if _name_in(path) == name:
                    return
            except OSError as error:
                details.append(
                    f"record {seq} states a key, and it cannot be read: {error.strerror}"
                )
            except MALFORMED as error:
                details.append(f"it is damaged: {error}")
            except FormatError as error:
                details.append(f"it is damaged: {error.message}")
            else:
                details.append(f"it is not the key that record {seq} states")
        code = "AK_DIFFERS" if first.exists() else "AK_MISSING"
        self._report(code, str(first), details[0])


def _name_in(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == _AK_FILES[1]:
        file = msgspec.json.decode(content, type=_NextFile).key
    else:
        file = msgspec.json.decode(content, type=_KeyFile)
    return parse_public(file.public).name()


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
