"""What a check finds."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from swt3_agent.errors import AgentError
from swt3_agent.protocol.evidence import Reason

_NOT_FOR_US = ("STATE_DENIED", "CONTROL_DENIED")
_LOOK_AS = "run it as root or as the agent's user"


class Level(Enum):
    """How bad it is: FAIL keeps the agent from something that it is there for."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about ``subject``. ``code`` and ``remedy`` are empty where it is good."""

    subject: str
    level: Level
    detail: str
    code: str = ""
    remedy: str = ""


Check = Callable[[], Iterable[Finding]]


def good(subject: str, detail: str) -> Finding:
    """It is as it should be."""
    return Finding(subject, Level.OK, detail)


def warning(subject: str, code: str, detail: str, remedy: str) -> Finding:
    """The agent works, and its user should know this."""
    return Finding(subject, Level.WARN, detail, code, remedy)


def failure(subject: str, code: str, detail: str, remedy: str) -> Finding:
    """The agent does not work, or not wholly."""
    return Finding(subject, Level.FAIL, detail, code, remedy)


def of_error(subject: str, error: AgentError) -> Finding:
    """An error of ours as a failure."""
    return failure(subject, error.code, error.message, error.remedy)


def of_reason(subject: str, reason: Reason) -> Finding:
    """A reason of ours as a failure."""
    return failure(subject, reason.code, reason.detail, reason.remedy)


def run_check(subject: str, check: Check) -> Iterator[Finding]:
    """What ``check`` finds; where it cannot look, that."""
    try:
        yield from check()
    except AgentError as error:
        if error.code in _NOT_FOR_US:
            yield warning(subject, error.code, error.message, _LOOK_AS)
        else:
            yield of_error(subject, error)
    except PermissionError as error:
        what = f"{error.filename or subject} cannot be seen by this user"
        yield warning(subject, "NOT_FOR_THIS_USER", what, _LOOK_AS)
    except OSError as error:
        what = f"{error.filename or subject}: {error.strerror or error}"
        yield failure(subject, "SYSTEM", what, "check that path and its disk")
