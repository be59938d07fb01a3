"""The IMA log over many readings, as a kernel that goes on measuring shows it."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from swt3_agent.collect.ima import ImaLog, ImaReading
from swt3_agent.errors import AgentError, RemoteError
from tests.support.boot_logs import ima_entry, ima_ng

BOOT = {index: bytes([index]) * 32 for index in range(10)}
AGGREGATE = ima_ng("boot_aggregate", sha256(b"".join(BOOT.values())).digest())


@dataclass
class Kernel:
    """A list that grows, the register that it is extended into, and what was asked of it."""

    log: bytes = b""
    pcr10: bytes = bytes(32)
    asked: list[int] = field(default_factory=list)
    lack: AgentError | None = None

    def measure(self, *paths: str, violation: bool = False) -> "Kernel":
        for path in paths:
            self.add(ima_ng(path, sha256(path.encode()).digest()), violation=violation)
        return self

    def add(self, data: bytes, *, violation: bool = False, extended: bool = True) -> None:
        self.log += ima_entry(data, violation=violation)
        digest = b"\xff" * 32 if violation else sha256(data).digest()
        if extended:
            self.pcr10 = sha256(self.pcr10 + digest).digest()

    def boot_log(self) -> bytes:
        raise NotImplementedError

    def ima_log(self, offset: int = 0) -> bytes:
        self.asked.append(offset)
        if self.lack is not None:
            raise self.lack
        if offset > len(self.log):
            raise RemoteError("LOG_SHORTER", "the log ends before", remedy="read it anew")
        return self.log[offset:]

    @property
    def pcrs(self) -> dict[int, bytes]:
        return {**BOOT, 10: self.pcr10}


def booted() -> Kernel:
    kernel = Kernel()
    kernel.add(AGGREGATE)
    return kernel.measure("/sbin/init", "/bin/sh")


def read(ima: ImaLog, kernel: Kernel) -> ImaReading:
    assert ima.begin() is None
    return ima.end(kernel.pcrs)


def codes(reading: ImaReading) -> list[str]:
    problems: Any = reading.claims["problems"]
    return [problem["code"] for problem in problems]


def test_a_log_is_counted_and_tied_to_its_boot() -> None:
    kernel = booted().measure("/var/log/open", violation=True)
    reading = read(ImaLog(kernel), kernel)
    assert reading.claims == {
        "lack": None,
        "replayed": True,
        "entries": 4,
        "bytes": len(kernel.log),
        "violations": 1,
        "boot_aggregate": True,
        "hashing": "sha256",
        "problems": [],
    }
    assert (reading.part, reading.place) == (kernel.log, {"offset": 0, "entries": 4})


def test_only_what_is_new_is_read_and_kept() -> None:
    kernel = booted()
    ima = ImaLog(kernel)
    parts = [read(ima, kernel).part]
    before = len(kernel.log)
    kernel.asked.clear()
    kernel.measure("/bin/ls")
    reading = read(ima, kernel)
    assert kernel.asked == [before, len(kernel.log)]
    assert reading.place == {"offset": before, "entries": 4}
    parts.append(reading.part)
    idle = read(ima, kernel)
    assert (idle.part, idle.place) == (b"", {"offset": len(kernel.log), "entries": 4})
    assert idle.claims["replayed"]
    assert b"".join(parts) == kernel.log


def test_what_came_after_the_quote_waits_for_the_next_reading() -> None:
    kernel = booted()
    ima = ImaLog(kernel)
    assert ima.begin() is None
    quoted, seen = kernel.pcrs, len(kernel.log)
    kernel.measure("/bin/late")
    reading = ima.end(quoted)
    assert (len(reading.part), reading.claims["entries"]) == (seen, 3)
    assert read(ima, kernel).place == {"offset": seen, "entries": 4}


def test_an_entry_that_is_listed_and_not_extended_yet_is_no_fault() -> None:
    kernel = booted()
    kernel.add(ima_ng("/bin/now", bytes(32)), extended=False)
    assert read(ImaLog(kernel), kernel).claims["entries"] == 3


def test_a_new_start_replays_all_and_keeps_only_what_the_last_one_did_not() -> None:
    kernel = booted()
    kept = len(read(ImaLog(kernel), kernel).part)
    kernel.measure("/bin/ls")
    again = ImaLog(kernel, lambda: kept)
    reading = read(again, kernel)
    assert (reading.part, reading.place) == (kernel.log[kept:], {"offset": kept, "entries": 4})
    assert read(again, kernel).part == b""


def test_what_was_kept_of_a_longer_list_is_of_another_one() -> None:
    kernel = booted()
    reading = read(ImaLog(kernel, lambda: len(kernel.log) + 1), kernel)
    assert (reading.part, reading.offset) == (kernel.log, 0)


def test_a_register_that_the_log_does_not_lead_to_is_said_and_the_log_kept_once() -> None:
    kernel = booted()
    ima = ImaLog(kernel)
    kernel.pcr10 = b"\xaa" * 32
    first = read(ima, kernel)
    assert (first.claims["replayed"], codes(first)) == (False, ["IMA_LOG_UNEXPLAINED"])
    assert (first.part, first.place) == (kernel.log, {"offset": 0, "entries": None})
    before = len(kernel.log)
    kernel.measure("/bin/more")
    again = read(ima, kernel)
    assert codes(again) == ["IMA_LOG_UNEXPLAINED"]
    assert (again.part, again.offset) == (kernel.log[before:], before)


def test_a_changed_entry_is_found_also_after_readings_that_were_good() -> None:
    kernel = booted()
    ima = ImaLog(kernel)
    read(ima, kernel)
    kernel.measure("/bin/evil")
    kernel.log = kernel.log.replace(b"/bin/evil", b"/bin/good")
    assert codes(read(ima, kernel)) == ["IMA_LOG_UNEXPLAINED"]


def test_another_list_is_read_from_its_beginning() -> None:
    kernel = booted().measure("/bin/1", "/bin/2", "/bin/3")
    ima = ImaLog(kernel)
    read(ima, kernel)
    fresh = booted()
    kernel.log, kernel.pcr10 = fresh.log, fresh.pcr10
    shorter = read(ima, kernel)
    assert (shorter.part, shorter.place) == (fresh.log, {"offset": 0, "entries": 3})
    other = Kernel()
    other.add(AGGREGATE)
    other.measure("/bin/a", "/bin/b", "/bin/c", "/bin/d")
    kernel.log, kernel.pcr10 = other.log, other.pcr10
    longer = read(ima, kernel)
    assert (longer.part, longer.place) == (other.log, {"offset": 0, "entries": 5})


def test_a_log_of_another_boot_does_not_have_this_ones_registers() -> None:
    kernel = Kernel()
    kernel.add(ima_ng("boot_aggregate", bytes(32)))
    reading = read(ImaLog(kernel), kernel)
    assert reading.claims["boot_aggregate"] is False
    assert codes(reading) == ["IMA_LOG_BOOT_AGGREGATE"]


def test_bytes_that_are_no_log_are_a_failure_with_a_reason() -> None:
    kernel = Kernel(log=b"\xff" * 100, pcr10=b"\xaa" * 32)
    ima = ImaLog(kernel)
    assert ima.begin() is None
    reading = ima.end(kernel.pcrs)
    assert (reading.claims["lack"], reading.claims["code"]) == ("failed", "IMA_LOG_ENTRY")
    assert reading.part == b""


def test_a_lack_is_told_and_forgets_nothing() -> None:
    kernel = booted()
    ima = ImaLog(kernel)
    read(ima, kernel)
    kept = len(kernel.log)
    for code, lack in (
        ("PROBE_ABSENT", "absent"),
        ("LOG_DENIED", "denied"),
        ("PROBE_BUSY", "busy"),
        ("LOG_TOO_LARGE", "failed"),
    ):
        kernel.lack = RemoteError(code, "what happened", remedy="what to do")
        assert ima.begin() == {
            "lack": lack,
            "code": code,
            "detail": "what happened",
            "remedy": "what to do",
        }
    kernel.lack = None
    kernel.measure("/bin/later")
    assert read(ima, kernel).offset == kept


def test_a_lack_between_quote_and_reading_is_told_too() -> None:
    kernel = booted()
    ima = ImaLog(kernel)
    assert ima.begin() is None
    kernel.lack = RemoteError("PROBE_BUSY", "not now", remedy="later")
    assert ima.end(kernel.pcrs).claims["lack"] == "busy"
    kernel.lack = None
    assert read(ima, kernel).place == {"offset": 0, "entries": 3}
