"""The boot log as the collector reads it."""

from dataclasses import dataclass

from swt3_agent.collect.boot_log import read_boot_log
from swt3_agent.errors import AgentError, RemoteError
from tests.support.boot_logs import real_log, real_pcrs


@dataclass
class Logs:
    log: bytes | AgentError

    def boot_log(self) -> bytes:
        if isinstance(self.log, AgentError):
            raise self.log
        return self.log

    def ima_log(self, offset: int = 0) -> bytes:
        raise NotImplementedError


PCRS = real_pcrs("rhel8-uefi")["sha256"]


def test_the_registers_that_the_log_leads_to_are_told_from_those_that_it_does_not() -> None:
    log = real_log("rhel8-uefi")
    pcrs = {**PCRS, 4: b"\xaa" * 32, 11: b"\xbb" * 32, 12: bytes(32)}
    reading = read_boot_log(Logs(log), pcrs)
    assert reading.claims == {
        "lack": None,
        "bytes": len(log),
        "events": 83,
        "truncated": False,
        "replayed": [0, 1, 2, 3, 5, 6, 7, 8, 9, 14],
        "differing": [4],
        "unlogged": [11],
    }
    assert reading.log == log
    assert reading.measured is not None


def test_a_log_that_is_cut_off_says_what_it_can_and_that_it_is() -> None:
    reading = read_boot_log(Logs(real_log("rhel8-uefi")[:-10]), PCRS)
    assert reading.claims["truncated"] is True
    assert reading.claims["lack"] is None


def test_bytes_that_are_no_log_are_kept_as_what_was_handed_over() -> None:
    log = real_log("bogus")
    reading = read_boot_log(Logs(log), PCRS)
    assert (reading.claims["lack"], reading.claims["code"]) == ("failed", "EVENT_LOG_HEADER")
    assert (reading.log, reading.measured) == (log, None)


def test_a_log_without_the_quoted_bank_is_a_failure() -> None:
    reading = read_boot_log(Logs(real_log("debian-10")), PCRS)
    assert (reading.claims["lack"], reading.claims["code"]) == ("failed", "EVENT_LOG_BANK")


def test_a_lack_is_typed() -> None:
    for code, lack in (("LOG_ABSENT", "absent"), ("PROBE_DENIED", "denied")):
        error = RemoteError(code, "what happened", remedy="what to do")
        reading = read_boot_log(Logs(error), PCRS)
        assert (reading.claims["lack"], reading.claims["code"]) == (lack, code)
        assert (reading.log, reading.measured) == (None, None)
