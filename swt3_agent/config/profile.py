"""The profiles that come with the agent: settings for one body of rules each.

A profile is a file that the public clients load too, and they refuse keys that they do not know.
What only this agent reads of it (title, framework, the date of the rules, cadence, signing tier)
stands in its head as YAML behind ``#:``, which is a comment to everybody else.
"""

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec

from swt3_agent.config.documents import Document, parse_document
from swt3_agent.config.reading import did_you_mean
from swt3_agent.errors import ConfigError

_DIRECTORY = Path(__file__).parent / "profiles"
_NAME = re.compile("[a-z0-9-]{1,64}")
_FACT = "#:"

SigningTier = Literal["unsigned", "signed", "hardware"]
"""``unsigned``: no payload signature is asked for. ``signed``: every anchor bears one.
``hardware``: that, and the hardware's own word: heads signed by a TPM, and AI-HW.* fresh."""


class CadenceFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds within which a required procedure must be witnessed again, by what triggers it."""

    inference: float
    schedule: float
    review: float


class ProfileFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The head of a profile. ``rules_as_of``: the day whose rules it reflects."""

    title: str
    framework: tuple[str, ...]
    rules_as_of: date
    signing_tier: SigningTier
    cadence: CadenceFacts
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile: what it says of itself, and the settings it brings."""

    name: str
    facts: ProfileFacts
    document: Document
    text: str


def profile_names() -> tuple[str, ...]:
    """The names of all profiles, in order."""
    return tuple(sorted(file.stem for file in _DIRECTORY.glob("*.yaml")))


def load_profile(name: str) -> Profile:
    """The profile of that name; raises ConfigError CONFIG_PROFILE for one that is not there."""
    known = profile_names()
    if not _NAME.fullmatch(name) or name not in known:
        raise ConfigError(
            "CONFIG_PROFILE", f"no profile {name[:64]!r}", remedy=did_you_mean(name, known)
        )
    text = (_DIRECTORY / f"{name}.yaml").read_text(encoding="utf-8")
    source = f"profile {name}"
    lines = text.splitlines()
    head = "\n".join(line.removeprefix(_FACT) for line in lines if line.startswith(_FACT))
    facts = msgspec.convert(parse_document(head.encode(), source), ProfileFacts)
    return Profile(name, facts, parse_document(text.encode(), source), text)
