"""A check that cannot look is a reason not to be ready, and stops no other."""

from collections.abc import Iterator

from swt3_agent.daemon.readiness import without_trouble
from swt3_agent.errors import JournalError
from swt3_agent.protocol.evidence import Reason


def test_what_a_check_finds_stays() -> None:
    reason = Reason("CODE", "detail", "remedy")
    assert list(without_trouble(lambda: [reason])) == [reason]


def test_damage_is_a_reason_after_what_was_found() -> None:
    def check() -> Iterator[Reason]:
        yield Reason("FIRST", "found")
        raise JournalError("SEGMENT_DAMAGED", "damaged", remedy="fsck")

    assert [reason.code for reason in without_trouble(check)] == ["FIRST", "SEGMENT_DAMAGED"]


def test_a_disk_that_does_not_answer_is_a_reason() -> None:
    def check() -> Iterator[Reason]:
        raise OSError(5, "Input/output error", "/state")

    (reason,) = without_trouble(check)
    assert (reason.code, reason.detail) == ("SYSTEM", "/state: Input/output error")
    assert reason.remedy
