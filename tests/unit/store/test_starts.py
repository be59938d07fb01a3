from collections.abc import Callable

import pytest

from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.clocks import Moment
from swt3_agent.store.heads import HeadKeeper
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.store.starts import EarlierStart, account, earlier_start, moment_content
from tests.unit.store.fake_tpm import LOG_PCR, FakeTpm
from tests.unit.store.records import append

THEN = Moment(utc_ms=1_800_000_000_000, clock_ms=50_000, reset_count=7, restart_count=0, safe=True)


def at(reset_count: int, *, utc_ms: int = 5_000) -> Moment:
    return Moment(THEN.utc_ms + utc_ms, THEN.clock_ms + 5_000, reset_count, 0, safe=True)


@pytest.mark.parametrize(
    ("between", "boot", "resets", "code"),
    [
        ((), "a", 7, None),
        ((), "b", 8, None),
        (("b",), "b", 8, None),
        (("b",), "c", 9, None),
        ((), "b", 7, "BOOT_WITHOUT_TPM_RESET"),
        (("b",), "c", 8, "BOOT_WITHOUT_TPM_RESET"),
        ((), "a", 8, "TPM_RESET_UNDER_RUNNING_SYSTEM"),
        ((), "b", 9, "RESETS_UNACCOUNTED"),
        (("b",), "c", 12, "RESETS_UNACCOUNTED"),
        ((), "b", 6, "TPM_RESET_COUNT_FELL"),
        ((), "a", 0, "TPM_RESET_COUNT_FELL"),
    ],
)
def test_every_reset_has_its_boot_and_every_boot_its_reset(
    between: tuple[str, ...], boot: str, resets: int, code: str | None
) -> None:
    earlier = EarlierStart("a", THEN, frozenset(between))
    findings = account(earlier, boot, at(resets))
    assert [finding.code for finding in findings] == ([] if code is None else [code])
    assert all(finding.detail and finding.remedy for finding in findings)


def test_a_clock_that_was_set_back_between_two_boots_is_found() -> None:
    findings = account(EarlierStart("a", THEN), "b", at(9, utc_ms=-600_000))
    assert [finding.code for finding in findings] == ["RESETS_UNACCOUNTED", "CLOCK_BACKDATED"]


def boot(journal: Journal, boot_id: str, moment: Moment | None) -> None:
    content = {"boot_id": boot_id, **moment_content(moment)}
    journal.append([Draft(Kind.BOOT, b'{"listener":"agent"}', canonical_json(content))]).result()


def test_the_newest_start_with_a_tpm_counts_and_boots_without_one_since(
    open_journal: Callable[[], Journal],
) -> None:
    journal = open_journal()
    with Catalogue.open(None, journal) as catalogue:
        assert earlier_start(journal, catalogue) is None
        boot(journal, "a", None)
        assert earlier_start(journal, catalogue) is None
        boot(journal, "b", THEN)
        boot(journal, "b", None)
        boot(journal, "c", None)
        boot(journal, "c", None)
        assert earlier_start(journal, catalogue) == EarlierStart("b", THEN, frozenset({"c"}))
        journal.append([Draft(Kind.BOOT, b"{}", b"{}")]).result()
        assert earlier_start(journal, catalogue) is not None


def test_a_signed_head_after_the_last_start_knows_more(
    open_journal: Callable[[], Journal],
) -> None:
    journal, tpm = open_journal(), FakeTpm()
    with Catalogue.open(None, journal) as catalogue:
        boot(journal, "b", THEN)
        heads = HeadKeeper(
            journal,
            catalogue,
            tpm,
            node_id="ab" * 16,
            log_id="cd" * 8,
            boot_id="b",
            log_pcr=LOG_PCR,
        )
        append(journal, "something")
        head = heads.checkpoint("test")
        assert head is not None
        assert head.quote_seq is not None
        boot(journal, "c", None)
        found = earlier_start(journal, catalogue)
        assert found is not None
        assert (found.boot_id, found.boots) == ("b", frozenset({"c"}))
        quoted_ms = journal.read(head.quote_seq).received_ns // 1_000_000
        assert found.moment == Moment(quoted_ms, tpm.clock_ms, tpm.reset_count, 0, safe=True)
