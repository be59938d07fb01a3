"""The gapless counter, step by step, with certificates of paper: right, and wrong in any place."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from swt3_agent.errors import FormatError
from swt3_agent.protocol.bundle import Head
from swt3_agent.verify.bundle.counter import CounterChain, PinnedCounter
from swt3_agent.verify.bundle.heads import HeadChain
from swt3_agent.verify.bundle.signers import Signers
from tests.support.forge import LOG_ID, NODE_ID, OTHER_AK, ak_public
from tests.support.paper_heads import COUNTER_ATTRIBUTES, INDEX, Paper, nv_name, nv_public

FIRST = 5


@dataclass
class Log:
    """A log that a counter chain follows; ``counter`` is what refuses."""

    node: Paper = field(default_factory=Paper)
    counter: CounterChain = field(default_factory=CounterChain)
    heads: HeadChain = field(
        default_factory=lambda: HeadChain.of(NODE_ID, LOG_ID, Signers.of([ak_public()]), 13)
    )

    def intent(self, value: int) -> int:
        record = self.node.intent(value)
        self.counter.see_intent(record)
        return record.seq

    def head(self) -> Head:
        head = self.node.head()
        quoted = self.heads.see_head(head)
        assert quoted is not None
        self.counter.see_note(head.seq, quoted.note)
        self.counter.see_quoted(quoted)
        self.quoted = quoted
        return head

    def certify(self, phase: str, intent: int, head: Head, value: int, **changes: object) -> None:
        record = self.node.certificate(phase, intent, head, value, **changes)  # type: ignore[arg-type]  # a test names its own fields
        self.counter.see_certificate(record)
        self.node.counter = value

    def begin(self, value: int, **before: object) -> tuple[int, Head]:
        """A step up to its certificate before."""
        intent = self.intent(value + 1)
        head = self.head()
        self.certify("before", intent, head, value, **before)
        return intent, head

    def step(self, value: int, **changes: object) -> None:
        intent, head = self.begin(value, **changes)
        self.certify("after", intent, head, value + 1, **changes)

    @property
    def codes(self) -> list[str]:
        return [found.code for found in self.counter.irregularities]


@pytest.fixture
def log() -> Log:
    """One that was stepped once."""
    log = Log()
    log.counter.first_run = log.node.resets
    log.step(FIRST)
    return log


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(FormatError) as error:
        act()
    assert error.value.remedy
    return error.value.code


def test_steps_follow_each_other_through_boots(log: Log) -> None:
    log.step(FIRST + 1)
    log.node.reboot()
    log.step(FIRST + 2)
    log.counter.finish(log.node.size)
    assert (log.counter.steps, log.counter.value, log.codes) == (3, FIRST + 3, [])
    assert log.counter.stepped == {7, 8}


def test_a_log_from_an_old_disk_lacks_the_lost_steps(log: Log) -> None:
    log.node.reboot()
    assert refused(lambda: log.begin(FIRST + 3)) == "COUNTER_GAP"


@pytest.mark.parametrize(
    ("value", "code"),
    [(FIRST + 2, "COUNTER_GAP"), (FIRST, "COUNTER_FELL"), (0, "COUNTER_FELL")],
)
def test_a_value_that_does_not_follow_is_refused(log: Log, value: int, code: str) -> None:
    assert refused(lambda: log.begin(value)) == code


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (FIRST + 1, "COUNTER_REPEATED"),
        (FIRST, "COUNTER_FELL"),
        (FIRST + 3, "COUNTER_GAP"),
    ],
)
def test_a_step_is_one(log: Log, value: int, code: str) -> None:
    intent, head = log.begin(FIRST + 1)
    assert refused(lambda: log.certify("after", intent, head, value)) == code


def test_a_crash_within_a_step_is_explained_by_its_certificate_before(log: Log) -> None:
    log.begin(FIRST + 1)
    log.node.reboot()
    log.step(FIRST + 2)
    assert log.codes == ["COUNTER_OPEN", "COUNTER_CRASH"]
    assert not any(found.decides for found in log.counter.irregularities)


@pytest.mark.parametrize(("boots", "decides"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_crash_explains_no_step_of_a_boot_without_a_head(
    log: Log, boots: int, *, decides: bool
) -> None:
    log.begin(FIRST + 1)
    for _ in range(boots):  # in any but the last another history could have taken the step
        log.node.reboot()
    log.step(FIRST + 2)
    doubts = [(found.code, found.size > 0) for found in log.counter.irregularities if found.decides]
    assert doubts == [("COUNTER_NOT_STEPPED", True)] * decides
    assert log.codes[:2] == ["COUNTER_OPEN", "COUNTER_CRASH"]


def test_a_crash_before_the_increment_is_no_rise(log: Log) -> None:
    log.begin(FIRST + 1)
    log.node.reboot()
    log.step(FIRST + 1)
    assert log.codes == ["COUNTER_OPEN"]


def test_an_intent_alone_explains_nothing(log: Log) -> None:
    log.intent(FIRST + 2)
    log.node.reboot()
    assert refused(lambda: log.begin(FIRST + 2)) == "COUNTER_INTENT"


def test_a_crash_explains_one_step_only(log: Log) -> None:
    log.begin(FIRST + 1)
    log.node.reboot()
    assert refused(lambda: log.begin(FIRST + 3)) == "COUNTER_GAP"


def test_an_open_step_at_the_end_is_said(log: Log) -> None:
    log.intent(FIRST + 2)
    log.counter.finish(log.node.size)
    assert log.codes == ["COUNTER_OPEN"]


def test_a_certificate_after_alone_claims_anothers_step(log: Log) -> None:
    intent = log.intent(FIRST + 2)
    head = log.head()
    code = refused(lambda: log.certify("after", intent, head, FIRST + 2))
    assert code == "COUNTER_BEFORE_MISSING"


def test_both_certificates_are_over_one_head(log: Log) -> None:
    intent, _ = log.begin(FIRST + 1)
    other = log.head()
    code = refused(lambda: log.certify("after", intent, other, FIRST + 2))
    assert code == "COUNTER_BEFORE_MISSING"


@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_certificate_twice_is_refused(log: Log, phase: str) -> None:
    intent, head = log.begin(FIRST + 1)
    value = FIRST + 1
    if phase == "after":
        value += 1
        log.certify(phase, intent, head, value)
    assert refused(lambda: log.certify(phase, intent, head, value)) == "COUNTER_REPEATED"


def before_of(log: Log, **changes: object) -> Callable[[], object]:
    return lambda: log.begin(FIRST + 1, **changes)


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "over a note that is no head": ({"extra": bytes(32)}, "COUNTER_UNQUOTED"),
    "in another run of the TPM": ({"resets": 6}, "COUNTER_UNQUOTED"),
    "before its head was quoted": ({"clock_ms": 1}, "COUNTER_UNQUOTED"),
    "naming a head that is not there": ({"content": {"head": 10_000}}, "COUNTER_UNQUOTED"),
    "by another key": ({"key": OTHER_AK}, "COUNTER_SIGNATURE"),
    "of another index": ({"name": nv_name(nv_public(0x01800054))}, "COUNTER_NAME"),
    "of an index that took its place": ({"public": nv_public(0x01800054)}, "COUNTER_NAME"),
    "of fewer bytes": ({"certified": b"\x06"}, "COUNTER_VALUE"),
    "of another value than it says": ({"certified": (9).to_bytes(8, "big")}, "COUNTER_VALUE"),
    "of bytes further on": ({"offset": 1}, "COUNTER_VALUE"),
    "that is a quote": ({"type": 0x8018, "info": bytes(4) + b"\x00\x00"}, "COUNTER_TYPE"),
    "not by a TPM": ({"magic": b"\xffTCX"}, "ATTEST_MAGIC"),
    "of a step that nobody announced": ({"content": {"intent": 1}}, "COUNTER_INTENT"),
    "of an ordinary index": (
        {"public": nv_public(attributes=COUNTER_ATTRIBUTES & ~0xF0)},
        "COUNTER_INDEX_TYPE",
    ),
    "of an index kept in volatile memory": (
        {"public": nv_public(attributes=COUNTER_ATTRIBUTES | 1 << 26)},
        "COUNTER_INDEX_ATTRIBUTES",
    ),
    "of an index without a value": (
        {"public": nv_public(attributes=COUNTER_ATTRIBUTES & ~(1 << 29))},
        "COUNTER_INDEX_UNWRITTEN",
    ),
    "of a larger index": ({"public": nv_public(size=16)}, "COUNTER_INDEX_SIZE"),
    "of no index": ({"content": {"public": "AAAA"}}, "NV_PUBLIC_TRUNCATED"),
    "of no form": ({"content": {"phase": "between"}}, "RECORD_CONTENT"),
    "beyond all numbers": ({"content": {"value": 2**64}}, "RECORD_CONTENT"),
}


@pytest.mark.parametrize(("changes", "code"), WRONG.values(), ids=WRONG)
def test_a_certificate_is_refused(log: Log, changes: dict[str, object], code: str) -> None:
    assert refused(before_of(log, **changes)) == code


def test_a_certificate_over_a_head_that_does_not_cover_the_step_is_refused(log: Log) -> None:
    head = log.node.head()
    quoted = log.heads.see_head(head)
    assert quoted is not None
    intent = log.intent(FIRST + 2)
    log.counter.see_quoted(quoted)
    assert refused(lambda: log.certify("before", intent, head, FIRST + 1)) == "COUNTER_INTENT"


def test_a_step_is_to_the_value_that_was_announced(log: Log) -> None:
    intent = log.intent(FIRST + 7)
    head = log.head()
    assert refused(lambda: log.certify("before", intent, head, FIRST + 1)) == "COUNTER_INTENT"


def test_an_unquoted_note_carries_no_certificate(log: Log) -> None:
    """The drawer: a certificate over a note of a second log that the TPM never quoted."""
    intent = log.intent(FIRST + 2)
    drawer = log.node.head(signed=False)
    assert refused(lambda: log.certify("before", intent, drawer, FIRST + 1)) == "COUNTER_UNQUOTED"


@pytest.mark.parametrize("stated", [0, FIRST, FIRST + 2])
def test_notes_state_the_newest_certificate(log: Log, stated: int) -> None:
    log.node.counter = stated
    assert refused(log.head) == "COUNTER_CTR"


def test_a_later_note_states_no_less(log: Log) -> None:
    note = log.heads.last
    assert note is not None
    log.node.counter = FIRST + 4
    log.node.head()
    assert log.node.note is not None
    log.counter.see_later_note(log.node.note)
    assert refused(lambda: log.counter.see_later_note(note)) == "COUNTER_CTR"


def test_every_certificate_is_covered_by_a_later_head(log: Log) -> None:
    assert refused(lambda: log.counter.finish(log.node.size - 1)) == "COUNTER_UNCOVERED"


@pytest.mark.parametrize(
    ("pinned", "code"),
    [
        (PinnedCounter(INDEX + 1, nv_name(nv_public())), "COUNTER_INDEX_OTHER"),
        (PinnedCounter(INDEX, nv_name(nv_public(INDEX + 1))), "COUNTER_NAME"),
    ],
)
def test_the_trust_file_names_the_counter(pinned: PinnedCounter, code: str) -> None:
    log = Log(counter=CounterChain(pinned))
    assert refused(lambda: log.begin(FIRST)) == code


def test_another_index_needs_a_boot_that_defined_it(log: Log) -> None:
    public = nv_public(INDEX + 1)
    record = log.node.intent(FIRST + 3, INDEX + 1)
    log.counter.see_intent(record)
    head = log.head()

    def certify() -> None:
        log.certify("before", record.seq, head, FIRST + 2, public=public)

    assert refused(certify) == "COUNTER_NAME"
    log.counter.see_definition("another boot")
    assert refused(certify) == "COUNTER_NAME"
    log.counter.see_definition(log.node.boot)
    certify()
    assert log.codes == ["COUNTER_REDEFINED"]
    assert log.counter.irregularities[0].decides


@pytest.mark.parametrize("value", [FIRST + 2, FIRST + 4])
def test_a_redefinition_is_the_nodes_own_word_and_one_that_falls_is_refused(
    log: Log, value: int
) -> None:
    log.node.reboot()  # another history can have taken the step, and this one call it a definition
    log.counter.see_definition(log.node.boot)
    log.step(value)
    assert log.codes == ["COUNTER_REDEFINED"]
    assert log.counter.irregularities[0].decides
    log.counter.see_definition(log.node.boot)
    assert refused(lambda: log.begin(FIRST)) == "COUNTER_FELL"


@pytest.mark.parametrize(
    ("value", "run", "defined", "codes"),
    [
        (FIRST, 7, False, []),
        (FIRST, 6, False, ["COUNTER_START"]),
        (FIRST, None, False, ["COUNTER_START"]),
        (1, 6, True, []),
        (1, 6, False, ["COUNTER_START"]),
        (FIRST, 6, True, ["COUNTER_START"]),
    ],
)
def test_a_first_certificate_needs_a_beginning(
    value: int, run: int | None, *, defined: bool, codes: list[str]
) -> None:
    log = Log()
    log.counter.first_run = run
    if defined:
        log.counter.see_definition(log.node.boot)
    log.step(value)
    assert log.codes == codes
    assert all(found.decides for found in log.counter.irregularities)


def test_what_lies_before_the_range_begins_a_chain() -> None:
    log = Log()
    log.counter.begin()
    log.step(FIRST)
    log.counter.begin_range()
    log.step(FIRST + 1)
    assert (log.counter.steps, log.codes) == (1, [])


def test_a_range_may_begin_within_a_step() -> None:
    log = Log()
    log.counter.begin()
    intent, head = log.begin(FIRST)
    log.counter.begin_range()
    log.certify("after", intent, head, FIRST + 1)
    assert (log.counter.steps, log.codes) == (1, [])


def test_no_more_heads_are_kept_than_a_step_can_need(log: Log) -> None:
    intent = log.intent(FIRST + 2)
    first = log.head()
    for _ in range(1000):
        log.counter.see_quoted(replace(log.quoted, seq=log.quoted.seq + 1))
        log.quoted = replace(log.quoted, seq=log.quoted.seq + 1)
    assert refused(lambda: log.certify("before", intent, first, FIRST + 1)) == "COUNTER_UNQUOTED"
