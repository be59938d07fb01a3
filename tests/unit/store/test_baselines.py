"""The baselines of a log: the newest record of a subject says all."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from swt3_agent.errors import FormatError, UsageError
from swt3_agent.protocol.baseline import Accepted, Baseline, BaselineChange, Change
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.reference import Reference
from swt3_agent.store.baselines import Baselines
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.drafts import Draft
from swt3_agent.store.journal import Journal

ONE, OTHER = Reference({0: ("ab" * 32,)}), Reference({0: ("cd" * 32,)})


@dataclass
class Log:
    journal: Journal
    catalogue: Catalogue

    @property
    def baselines(self) -> Baselines:
        """As a program that was just started sees them."""
        return Baselines(self.journal, self.catalogue)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    for name in ("journal", "keys"):
        (tmp_path / name).mkdir(0o700)
    with (
        Journal.open(tmp_path / "journal", tmp_path / "keys") as journal,
        Catalogue.open(None, journal) as catalogue,
    ):
        yield Log(journal, catalogue)


def accepting(subject: str, reference: Reference, now: Baseline) -> BaselineChange:
    return BaselineChange(subject, Change.ACCEPTED, now.accept(reference), {}, "because")


def test_what_is_in_force_follows_from_the_log_alone(log: Log) -> None:
    open_ones = log.baselines
    assert open_ones.of("platform") == Baseline()
    seq = open_ones.change("platform", lambda now: accepting("platform", ONE, now))
    for baselines in (open_ones, log.baselines):
        assert baselines.of("platform") == Baseline(Accepted(ONE, seq))
        assert baselines.accepted("platform", 0) == (Accepted(ONE, seq),)
    later = open_ones.change("platform", lambda now: accepting("platform", OTHER, now))
    assert log.baselines.of("platform") == Baseline(Accepted(OTHER, later))
    assert log.baselines.read(seq).baseline == Baseline(Accepted(ONE, seq))


def test_subjects_do_not_speak_for_each_other(log: Log) -> None:
    baselines = log.baselines
    seq = baselines.change("platform", lambda now: accepting("platform", ONE, now))
    baselines.change("gpu", lambda now: accepting("gpu", OTHER, now))
    assert log.baselines.of("platform") == Baseline(Accepted(ONE, seq))


def test_a_change_that_is_refused_leaves_no_record(log: Log) -> None:
    def confirm(now: Baseline) -> BaselineChange:
        return BaselineChange("platform", Change.CONFIRMED, now.confirm(), {}, "because")

    with pytest.raises(UsageError):
        log.baselines.change("platform", confirm)
    assert log.journal.size == 0


def test_a_record_that_cannot_be_read_is_no_baseline_and_no_older_one_speaks_for_it(
    log: Log,
) -> None:
    log.baselines.change("platform", lambda now: accepting("platform", ONE, now))
    log.journal.append([Draft(Kind.BASELINE, b"{}", b"no baseline")]).result()
    baselines = log.baselines
    for _ in range(2):
        with pytest.raises(FormatError):
            baselines.of("platform")
        reason = baselines.accepted("platform", 0)
        assert isinstance(reason, Reason)
        assert reason.code == "BASELINE_MALFORMED"
