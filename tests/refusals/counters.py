"""Bundles whose counter does not hold: a log that lost its end, or a second one."""

from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from typing import Any

from tests.refusals.bundles import FIRST, own_log, rebooted
from tests.refusals.case import UNDECIDED, Case
from tests.support.forge import OTHER_AK, sized
from tests.support.paper_bundle import PaperLog, trust_in
from tests.support.paper_heads import COUNTER_ATTRIBUTES, INDEX, nv_name, nv_public


def cases() -> Iterator[Case]:
    """Every refusal of a counter."""
    yield from _steps()
    yield from _certificates()


def _steps() -> Iterator[Case]:
    def old_disk(log: PaperLog) -> None:
        rebooted(log)
        log.step(FIRST + 4)

    def fell(log: PaperLog) -> None:
        rebooted(log)
        log.step(FIRST - 1)

    def repeated(log: PaperLog) -> None:
        intent, head = log.begin_step(FIRST + 1)
        log.certify("after", intent, head, FIRST + 1)

    def twice(log: PaperLog) -> None:
        intent, head = log.begin_step(FIRST + 1)
        log.certify("before", intent, head, FIRST + 1)

    def two_steps(log: PaperLog) -> None:
        intent, head = log.begin_step(FIRST + 1)
        log.certify("after", intent, head, FIRST + 3)

    def without_before(log: PaperLog) -> None:
        intent, head = log.announce(FIRST + 2), log.head()
        log.certify("after", intent, head, FIRST + 2)

    def intent_alone(log: PaperLog) -> None:
        log.announce(FIRST + 2)
        rebooted(log)
        log.step(FIRST + 2)

    def other_intent(log: PaperLog) -> None:
        intent, head = log.announce(FIRST + 9), log.head()
        log.certify("before", intent, head, FIRST + 1)

    def no_intent(log: PaperLog) -> None:
        log.certify("before", 0, log.head(), FIRST + 1)

    def ctr(log: PaperLog) -> None:
        log.head(note={"counter": FIRST + 9})

    def redefined(log: PaperLog) -> None:
        log.start(counter={"index": f"{INDEX:08x}", "name": "", "value": 9, "defined": True})
        log.step(FIRST + 4)

    def redefined_lower(log: PaperLog) -> None:
        log.start(counter={"index": f"{INDEX:08x}", "name": "", "value": 1, "defined": True})
        log.step(1)

    yield own_log("counter-gap", "the disk was put back to an earlier day", "COUNTER_GAP", old_disk)
    yield own_log("counter-fell", "the TPM was put back to a snapshot", "COUNTER_FELL", fell)
    yield own_log("counter-no-step", "no step was taken", "COUNTER_REPEATED", repeated)
    yield own_log("counter-twice", "a certificate was made twice", "COUNTER_REPEATED", twice)
    yield own_log("counter-two-steps", "two steps pass for one", "COUNTER_GAP", two_steps)
    yield own_log(
        "counter-no-before",
        "a step of the lost history is claimed",
        "COUNTER_BEFORE_MISSING",
        without_before,
    )
    yield own_log(
        "counter-intent-alone", "an announcement passes for a crash", "COUNTER_INTENT", intent_alone
    )
    yield own_log("counter-other-intent", "another was announced", "COUNTER_INTENT", other_intent)
    yield own_log("counter-no-intent", "no step was announced", "COUNTER_INTENT", no_intent)
    yield own_log("counter-ctr", "a head states a value of its own", "COUNTER_CTR", ctr)
    yield own_log(
        "counter-redefined",
        "the index was deleted and defined anew",
        "COUNTER_REDEFINED",
        redefined,
        exit_code=UNDECIDED,
    )
    yield own_log(
        "counter-redefined-lower", "the index begins again", "COUNTER_FELL", redefined_lower
    )


def _certificates() -> Iterator[Case]:
    other = nv_public(INDEX + 1)
    changes: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        (
            "drawer",
            "a certificate over a note that was never quoted lay in a drawer",
            "COUNTER_UNQUOTED",
            {"extra": sha256(b"a second log").digest()},
        ),
        ("other-run", "a certificate of an earlier run", "COUNTER_UNQUOTED", {"resets": 6}),
        ("too-early", "a certificate older than the quote", "COUNTER_UNQUOTED", {"clock_ms": 1}),
        ("other-key", "another key certified", "COUNTER_SIGNATURE", {"key": OTHER_AK}),
        ("not-a-tpm", "no TPM made it", "ATTEST_MAGIC", {"magic": b"\xffTCX"}),
        (
            "quote",
            "a quote stands for a certificate",
            "COUNTER_TYPE",
            {"type": 0x8018, "info": bytes(4) + sized(b"")},
        ),
        ("other-index", "another index was certified", "COUNTER_NAME", {"name": nv_name(other)}),
        ("value", "other contents were certified", "COUNTER_VALUE", {"certified": bytes(8)}),
        ("offset", "other bytes were certified", "COUNTER_VALUE", {"offset": 8}),
        (
            "no-counter",
            "an ordinary index passes for a counter",
            "COUNTER_INDEX_TYPE",
            {"public": nv_public(attributes=COUNTER_ATTRIBUTES & ~0xF0)},
        ),
        (
            "attributes",
            "the owner can write the index",
            "COUNTER_INDEX_ATTRIBUTES",
            {"public": nv_public(attributes=COUNTER_ATTRIBUTES | 1 << 1)},
        ),
        (
            "unwritten",
            "the index has no value",
            "COUNTER_INDEX_UNWRITTEN",
            {"public": nv_public(attributes=COUNTER_ATTRIBUTES & ~(1 << 29))},
        ),
        ("size", "the index is larger", "COUNTER_INDEX_SIZE", {"public": nv_public(size=64)}),
        ("truncated", "the public area is cut", "NV_PUBLIC_TRUNCATED", {"public": other[:-1]}),
    )
    for name, threat, code, change in changes:
        yield own_log(f"certificate-{name}", threat, code, partial(_stepped, changes=change))
    yield own_log(
        "certificate-index-not-enrolled",
        "another index than the enrolled one counts",
        "COUNTER_INDEX_OTHER",
        lambda _log: None,
        trust=_pinning(other, INDEX + 1),
    )
    yield own_log(
        "certificate-name-not-enrolled",
        "the index was defined anew since the enrolment",
        "COUNTER_NAME",
        lambda _log: None,
        trust=_pinning(other, INDEX),
    )


def _stepped(log: PaperLog, changes: dict[str, Any]) -> None:
    log.step(FIRST + 1, **changes)


def _pinning(public: bytes, index: int) -> bytes:
    return trust_in(
        ek_sha256=bytes(32),
        ek_certified=False,
        counter_index=index,
        counter_name=nv_name(public),
    )
