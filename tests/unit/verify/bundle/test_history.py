"""What root can say in a log of his own to be believed about boots that had no step."""

import io

from swt3_agent.verify import BundleReport, verify_bundle
from tests.support.paper_bundle import PaperLog, trust_in
from tests.support.paper_heads import INDEX, nv_name, nv_public

FIRST = 5


def judged(log: PaperLog) -> BundleReport:
    return verify_bundle(io.BytesIO(log.bundle()), trust=trust_in(), allow_software_tpm=True)


def begun() -> PaperLog:
    log = PaperLog()
    log.start()
    log.step(FIRST)
    return log


def reboot(log: PaperLog, **content: object) -> None:
    log.reboot()
    log.start(**content)


def test_a_later_head_that_states_a_step_shows_none() -> None:
    log = begun()
    reboot(log)
    log.head()
    log.counter += 1  # what the closing head says; no certificate of it is here
    assert judged(log).code == "COUNTER_NOT_STEPPED"


def test_a_boot_after_the_range_needs_no_step_in_it() -> None:
    log = begun()
    log.head()
    log.reboot()
    assert judged(log).code == "VERIFIED"  # what the range holds, another boot covers


def test_a_range_without_a_head_lies_in_the_boot_of_the_next() -> None:
    log = PaperLog()
    log.announce(FIRST)
    pinned = trust_in(
        counter_index=INDEX,
        counter_name=nv_name(nv_public()),
        ek_sha256=bytes(32),
        ek_certified=False,
    )
    report = verify_bundle(io.BytesIO(log.bundle()), trust=pinned, allow_software_tpm=True)
    assert report.code == "COUNTER_NOT_STEPPED"


def test_a_log_that_was_unsigned_at_first_shows_no_beginning_of_its_counter() -> None:
    """Its heads of the first boot can have been signed, and be shown as something else."""
    log = PaperLog()
    log.start()
    log.head(signed=False, extends=False)
    reboot(log)
    log.step(FIRST)
    assert judged(log).code == "COUNTER_START"


def test_a_step_of_a_hidden_boot_passes_for_no_definition() -> None:
    log = begun()
    reboot(log)  # another history was here, and took the step
    reboot(log, counter={"index": f"{INDEX:08x}", "name": "", "value": FIRST + 2, "defined": True})
    log.step(FIRST + 2)
    assert judged(log).code == "COUNTER_REDEFINED"


def test_a_step_of_a_hidden_boot_passes_for_no_crash() -> None:
    log = begun()
    log.begin_step(FIRST + 1)
    reboot(log)  # another history was here, and took the step
    reboot(log)
    log.step(FIRST + 2)
    assert judged(log).code == "COUNTER_NOT_STEPPED"


def test_a_step_that_is_announced_and_certified_before_is_none_yet() -> None:
    log = begun()
    reboot(log)
    log.begin_step(FIRST + 1)
    log.head()
    assert judged(log).code == "COUNTER_NOT_STEPPED"  # the next boot can show the same value


def test_a_step_that_a_crash_interrupted_counts_for_the_boot_in_which_it_was_taken() -> None:
    log = begun()
    reboot(log)
    log.begin_step(FIRST + 1)
    reboot(log)
    log.step(FIRST + 2)
    assert judged(log).code == "VERIFIED"


def test_a_step_that_was_never_taken_counts_for_no_boot() -> None:
    log = begun()
    reboot(log)
    log.begin_step(FIRST + 1)
    reboot(log)
    log.step(FIRST + 1)
    assert judged(log).code == "COUNTER_NOT_STEPPED"
