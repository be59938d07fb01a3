"""What the probe reads, from a directory in place of the kernel's."""

import os
from pathlib import Path

import pytest

from swt3_agent.probe.logs import SECURITY, read_log
from swt3_agent.probe.wire import MAX_BOOT_LOG, MAX_IMA_PART, Lack, Lacking, Log, Question
from tests.support.probe import write_log

BOOT = Question(Log.BOOT)


def test_the_boot_log_is_read_whole(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    write_log(tmp_path, Log.BOOT, data)
    assert read_log(BOOT, tmp_path) == (data, len(data))


def test_a_machine_without_logs_has_none(tmp_path: Path) -> None:
    for log in Log:
        assert read_log(Question(log), tmp_path) == Lack(Lacking.LOG_ABSENT, "ENOENT")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    place = write_log(tmp_path, Log.BOOT, b"")
    place.unlink()
    os.mkfifo(place)
    assert read_log(BOOT, tmp_path) == Lack(Lacking.LOG_FAILED, "EINVAL")
    place.unlink()
    place.mkdir()
    assert read_log(BOOT, tmp_path) == Lack(Lacking.LOG_FAILED, "EINVAL")


@pytest.mark.permissions
def test_a_log_that_may_not_be_read_is_denied(tmp_path: Path) -> None:
    write_log(tmp_path, Log.BOOT, b"log").chmod(0)
    assert read_log(BOOT, tmp_path) == Lack(Lacking.LOG_DENIED, "EACCES")


def test_a_boot_log_that_is_too_large_is_refused_whole(tmp_path: Path) -> None:
    place = write_log(tmp_path, Log.BOOT, b"")
    os.truncate(place, MAX_BOOT_LOG)
    assert read_log(BOOT, tmp_path) == (bytes(MAX_BOOT_LOG), MAX_BOOT_LOG)
    os.truncate(place, MAX_BOOT_LOG + 1)
    assert read_log(BOOT, tmp_path) == Lack(Lacking.LOG_TOO_LARGE)


def test_the_ima_log_is_read_in_parts(tmp_path: Path) -> None:
    data = os.urandom(MAX_IMA_PART) + b"and the rest"
    write_log(tmp_path, Log.IMA, data)
    assert read_log(Question(Log.IMA), tmp_path) == (data[:MAX_IMA_PART], None)
    rest = read_log(Question(Log.IMA, MAX_IMA_PART), tmp_path)
    assert rest == (b"and the rest", len(data))


def test_an_offset_at_the_end_gives_nothing_new_and_one_beyond_says_so(tmp_path: Path) -> None:
    write_log(tmp_path, Log.IMA, b"12345")
    assert read_log(Question(Log.IMA, 5), tmp_path) == (b"", 5)
    assert read_log(Question(Log.IMA, 6), tmp_path) == Lack(Lacking.LOG_SHORTER)


def test_a_kernel_that_has_only_the_list_of_its_bank_is_read(tmp_path: Path) -> None:
    write_log(tmp_path, Log.IMA, b"of SHA-256", place=1)
    assert read_log(Question(Log.IMA), tmp_path) == (b"of SHA-256", 10)
    write_log(tmp_path, Log.IMA, b"of SHA-1")
    assert read_log(Question(Log.IMA), tmp_path) == (b"of SHA-1", 8)


def test_it_reads_where_the_kernel_has_its_logs() -> None:
    assert str("/" / SECURITY) == "/sys/kernel/security"
