"""What an appraisal is, and the ways to come to one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from swt3_agent.protocol.evidence import Reason, RootOfTrust, Unavailable
from swt3_agent.protocol.procedures import Verdict, judge


class Outcome(Enum):
    """What an appraisal comes to."""

    PASS = "PASS"  # noqa: S105 - an outcome, not a password
    FAIL = "FAIL"
    NOT_COMPARED = "NOT_COMPARED"  # evidence without a reference value to hold it against
    ABSENT = "ABSENT"  # nothing there to appraise, and nothing was expected
    RECORDED = "RECORDED"  # evidence that no procedure judges


@dataclass(frozen=True, slots=True)
class Appraisal:
    """One outcome, why, and what an anchor about it says.

    ``factors`` are (a, b, c) of ``procedure_id`` and present only where an anchor is minted.
    ``context`` and ``model_id`` become ``ai_context`` and ``ai_model_id`` as far as clearing lets
    them (docs/protocol.md 6). ``subject`` tells several appraisals of one reading apart.
    ``baseline`` is the record of the reference values that it was held against, where there are.
    """

    collector: str
    procedure_id: str | None
    outcome: Outcome
    factors: tuple[int, int, int] | None
    reasons: tuple[Reason, ...]
    root_of_trust: RootOfTrust
    context: Mapping[str, object] = field(default_factory=dict)
    model_id: str | None = None
    subject: str = ""
    baseline: int | None = None


def minted(
    collector: str,
    procedure_id: str,
    factors: tuple[int, int, int],
    reasons: tuple[Reason, ...],
    *,
    root_of_trust: RootOfTrust = RootOfTrust.SELF_REPORTED,
    context: Mapping[str, object] | None = None,
    model_id: str | None = None,
    subject: str = "",
    baseline: int | None = None,
) -> Appraisal:
    """An appraisal that becomes an anchor: the factors decide its outcome."""
    passed = judge(procedure_id, *factors) is Verdict.PASS
    return Appraisal(
        collector,
        procedure_id,
        Outcome.PASS if passed else Outcome.FAIL,
        factors,
        reasons,
        root_of_trust,
        context or {},
        model_id,
        subject,
        baseline,
    )


def without_evidence(reading: Unavailable, procedure_id: str | None, outcome: Outcome) -> Appraisal:
    """An appraisal of a reading that did not come; nothing is minted."""
    return Appraisal(
        reading.collector,
        procedure_id,
        outcome,
        None,
        (lack(reading),),
        RootOfTrust.SELF_REPORTED,
    )


def lack(reading: Unavailable) -> Reason:
    """Why there is no reading, as a reason."""
    return Reason(reading.code, reading.detail, reading.remedy)
