"""Entries reach a journal as it reads them, and never make the agent wait."""

import io
import logging
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.telemetry import Event, configure_logging, fields
from swt3_agent.telemetry.journal import MAX_FIELD_BYTES, JournalHandler, encode_entry
from tests.support.software_tpm import short_directory


def parse_entry(datagram: bytes) -> dict[str, str]:
    """A datagram as the journal takes it apart."""
    entry = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack_from("<Q", rest)
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        entry[name.decode()] = value.decode("utf-8", "replace")
        datagram = rest
    return entry


class Journal:
    """Something that listens where the journal does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(20)

    def read(self) -> dict[str, str]:
        return parse_entry(self.socket.recv(1 << 20))


@pytest.fixture
def journal() -> Iterator[Journal]:
    with short_directory() as directory:
        journal = Journal(directory / "socket")
        with journal.socket:
            yield journal


@pytest.fixture
def fallback() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(journal: Journal, fallback: io.StringIO) -> Iterator[logging.Logger]:
    logger = logging.Logger("swt3_agent.test")
    handler = JournalHandler(journal.path, logging.StreamHandler(fallback))
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_an_entry_carries_its_event_and_fields(journal: Journal, logger: logging.Logger) -> None:
    logger.error("no head %s", fields(Event.HEAD_FAILED, code="TPM_BUSY", why="it said so"))
    entry = journal.read()
    assert entry["MESSAGE"] == 'no head code=TPM_BUSY why="it said so"'
    assert entry["MESSAGE_ID"] == Event.HEAD_FAILED.message_id
    assert entry["PRIORITY"] == "3"
    assert entry["SYSLOG_IDENTIFIER"] == "swt3-agent"
    assert entry["SWT3_EVENT"] == "HEAD_FAILED"
    assert entry["SWT3_CODE"] == "TPM_BUSY"
    assert entry["SWT3_WHY"] == "it said so"
    assert entry["CODE_FUNC"] == "test_an_entry_carries_its_event_and_fields"


def test_a_line_end_makes_no_second_field(journal: Journal, logger: logging.Logger) -> None:
    logger.warning("refused %s", fields(why="x\nPRIORITY=0\nMESSAGE_ID=forged"))
    entry = journal.read()
    assert entry["PRIORITY"] == "4"
    assert "MESSAGE_ID" not in entry
    assert entry["SWT3_WHY"] == "x\nPRIORITY=0\nMESSAGE_ID=forged"


def test_a_traceback_has_a_field_of_its_own(journal: Journal, logger: logging.Logger) -> None:
    try:
        raise ValueError("of no use")  # noqa: TRY301  a traceback is wanted
    except ValueError:
        logger.exception("failed")
    assert "ValueError: of no use" in journal.read()["SWT3_TRACEBACK"]


def test_values_are_bounded() -> None:
    entry = parse_entry(encode_entry({"MESSAGE": "x" * 100_000, "SWT3_A": "y\n" * 100_000}))
    assert {len(value) for value in entry.values()} == {MAX_FIELD_BYTES}


@given(st.dictionaries(st.from_regex("[A-Z][A-Z0-9_]{0,20}", fullmatch=True), st.text(max_size=99)))
def test_every_entry_can_be_taken_apart_again(entry: dict[str, str]) -> None:
    assert parse_entry(encode_entry(entry)) == {
        name: value.encode("utf-8", "backslashreplace").decode() for name, value in entry.items()
    }


@pytest.mark.parametrize("name", ["_PID", "lower", "", "A" * 65, "A=B", "A\nB"])
def test_a_name_that_the_journal_would_refuse_is_left_out(name: str) -> None:
    assert encode_entry({name: "x"}) == b""


def test_a_journal_that_is_behind_keeps_nobody_waiting(
    journal: Journal, logger: logging.Logger
) -> None:
    sent = 5000  # more than a socket holds
    for number in range(sent):
        logger.info("line %s", number)
    first = journal.read()
    assert first["MESSAGE"] == "line 0"
    journal.socket.setblocking(False)
    read = 1
    while True:
        try:
            journal.read()
        except BlockingIOError:
            break
        read += 1
    journal.socket.settimeout(20)
    logger.info("after")
    assert journal.read()["MESSAGE"].startswith(f"{sent - read} log entries were dropped")
    assert journal.read()["MESSAGE"] == "after"


def test_lines_go_to_standard_error_where_no_journal_listens(
    journal: Journal, logger: logging.Logger, fallback: io.StringIO
) -> None:
    journal.path.unlink()
    logger.info("all the same")
    assert fallback.getvalue() == "all the same\n"


def test_only_the_stream_of_the_journal_itself_makes_a_journal_handler(tmp_path: Path) -> None:
    root, stderr = logging.getLogger(), sys.stderr
    before = root.handlers[:], root.level
    try:
        with (tmp_path / "stderr").open("w") as sys.stderr:
            status = os.fstat(sys.stderr.fileno())
            configure_logging({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
            (own,) = root.handlers
            configure_logging({"JOURNAL_STREAM": "1:1"})
            (inherited,) = root.handlers
            configure_logging({})
            (none,) = root.handlers
    finally:
        sys.stderr = stderr
        root.handlers[:], root.level = before
    assert isinstance(own, JournalHandler)
    assert not isinstance(inherited, JournalHandler)
    assert not isinstance(none, JournalHandler)
    own.close()


def test_message_ids_are_128_bits_and_nobody_shares_one() -> None:
    ids = [event.message_id for event in Event]
    assert all(re.fullmatch("[0-9a-f]{32}", message_id) for message_id in ids)
    assert len(set(ids)) == len(ids)
