"""The course of an examination: checks as they are made, and what remained in doubt."""

from dataclasses import dataclass, field

from swt3_agent.errors import FormatError
from swt3_agent.verify.refusal import refusal
from swt3_agent.verify.report import Check, Outcome

UNREADABLE = frozenset(
    {
        "PARSE_FORMAT_UNKNOWN",
        "REFERENCE_EMPTY",
        "REFERENCE_FORMAT_UNKNOWN",
        "REFERENCE_INVALID",
        "STATEMENT_TYPE",
        "TRUST_FORMAT_UNKNOWN",
    }
)
"""Files that claim to be something else, and the reader's own reference: nothing is false."""


@dataclass(slots=True)
class Course:
    """Checks made so far."""

    checks: list[Check] = field(default_factory=list)
    doubts: list[FormatError] = field(default_factory=list)
    step: str = ""

    def begin(self, step: str) -> None:
        """Name the check that errors are charged to from here on."""
        self.step = step

    def passed(self, detail: str) -> None:
        """The current check holds."""
        self.checks.append(Check(self.step, True, detail))

    def not_applicable(self, detail: str) -> None:
        """The current check cannot be made, and nothing rests on it."""
        self.checks.append(Check(self.step, None, detail))

    def doubt(self, code: str, message: str) -> None:
        """The current check cannot be made, and without it nothing can be called true."""
        self.checks.append(Check(self.step, None, message))
        self.doubts.append(refusal(code, message))

    def failed(self, error: FormatError) -> Outcome:
        """The current check does not hold: the outcome that this makes."""
        unreadable = error.code in UNREADABLE
        self.checks.append(Check(self.step, None if unreadable else False, error.message))
        return Outcome.UNDECIDED if unreadable else Outcome.FALSE
