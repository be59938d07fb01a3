"""What is wrong with a configuration: gathered, so that an author sees all of it at once."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from swt3_agent.errors import ConfigError

_API_KEY = re.compile("axm_[A-Za-z0-9_-]+")
_MASKED_KEY = "axm_****"
_MAX_TEXT = 500  # characters of one message


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: ``key`` is the setting or variable, ``remedy`` what to do."""

    code: str
    key: str
    message: str
    remedy: str

    def as_error(self, others: int = 0) -> ConfigError:
        """The error of this problem, which mentions ``others`` that were found with it."""
        remedy = self.remedy
        if others:
            remedy += f"; `swt3-agent config check` shows {others} more"
        return ConfigError(self.code, self.message, remedy=remedy)

    def as_view(self) -> dict[str, str]:
        """As JSON output has it."""
        return {
            "code": self.code,
            "key": self.key,
            "message": self.message,
            "remedy": self.remedy,
        }


@dataclass(slots=True)
class Findings:
    """Gathers what is wrong (``problems``), what is missing for minting and delivery (``lacks``)
    and what an author should know (``warnings``), each without any secret."""

    problems: list[Problem] = field(default_factory=list)
    lacks: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, code: str, key: str, message: str, remedy: str) -> None:
        """Add a problem."""
        self.problems.append(_problem(code, key, message, remedy))

    def bad_value(self, key: str, problem: str, remedy: str) -> None:
        """Add the problem that the value of ``key`` ``problem``."""
        self.refuse("CONFIG_VALUE", key, f"{key} {problem}", remedy)

    def require(self, condition: bool, key: str, problem: str, remedy: str) -> None:
        """Add that problem unless ``condition`` holds."""
        if not condition:
            self.bad_value(key, problem, remedy)

    def lack(self, code: str, key: str, message: str, remedy: str) -> None:
        """Add something that is missing."""
        self.lacks.append(_problem(code, key, message, remedy))

    def warn(self, message: str) -> None:
        """Add a warning, once."""
        message = _shown(message)
        if message not in self.warnings:
            self.warnings.append(message)

    def take(self, error: ConfigError, key: str) -> None:
        """Add what an error says about ``key``."""
        self.refuse(error.code, key, error.message, error.remedy)


def _problem(code: str, key: str, message: str, remedy: str) -> Problem:
    return Problem(code, _shown(key), _shown(message), remedy)


def _shown(text: str) -> str:
    """``text`` without API keys, and no longer than a person reads."""
    text = without_api_keys(text)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def first_error(problems: Iterable[Problem]) -> ConfigError | None:
    """The error of the first of them, with word of the others; None where there is none."""
    all_of_them = list(problems)
    return all_of_them[0].as_error(len(all_of_them) - 1) if all_of_them else None


def without_api_keys(text: str) -> str:
    """``text`` without the API keys that stand in it, however they came there."""
    return _API_KEY.sub(_MASKED_KEY, text)
