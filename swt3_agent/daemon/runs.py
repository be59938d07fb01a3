"""What the collectors came to since this start: for status, health and metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from swt3_agent.pipeline import Attestation
from swt3_agent.protocol.appraisal import Outcome
from swt3_agent.store.journal import Journal


@dataclass(frozen=True, slots=True)
class LastRun:
    """What a collector's last run came to.

    ``saw`` tells whether it had evidence, ``failed`` whether an appraisal came to FAIL; ``good_ms``
    is when nothing failed last, and it saw what there is (UTC ms; None: not since the start).
    """

    attestations: tuple[Attestation, ...]
    utc_ms: int
    duration_ms: int
    saw: bool
    failed: bool
    good_ms: int | None

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcome of each appraisal."""
        return tuple(attestation.appraisal.outcome.value for attestation in self.attestations)


class _EvidencePayload(msgspec.Struct):
    lack: str | None = None


def last_run(
    journal: Journal, attestations: Sequence[Attestation], before: LastRun | None, now_ms: int
) -> LastRun:
    """The run that came to ``attestations``, after the one ``before``. Raises JournalError."""
    saw = bool(attestations) and _has_evidence(journal, attestations[0].evidence_record)
    outcomes = {attestation.appraisal.outcome for attestation in attestations}
    good = Outcome.FAIL not in outcomes and (saw or outcomes == {Outcome.ABSENT})
    good_ms = None if before is None else before.good_ms
    return LastRun(
        attestations=tuple(attestations),
        utc_ms=now_ms,
        duration_ms=attestations[0].duration_ms if attestations else 0,
        saw=saw,
        failed=Outcome.FAIL in outcomes,
        good_ms=now_ms if good else good_ms,
    )


def _has_evidence(journal: Journal, record: int) -> bool:
    payload = journal.read(record).payload
    return msgspec.json.decode(payload, type=_EvidencePayload).lack is None
