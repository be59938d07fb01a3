"""What the profile requires against what was witnessed, and how long ago.

A procedure counts as witnessed by any anchor of it in the log that is of this node's tenant,
whatever its verdict: that one fails is said elsewhere. Times are those at which the log took the
record, never those that a client claims; and what vouches for the hardware must be this node's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from swt3_agent.config import Config, Required, is_hardware
from swt3_agent.protocol.catalogue import CATALOGUE, Trigger
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Journal


class State(Enum):
    """Of one required procedure. ``AWAITED``: only an event brings it about, and none has yet;
    that is no lack."""

    FRESH = "fresh"
    STALE = "stale"
    MISSING = "missing"
    AWAITED = "awaited"


@dataclass(frozen=True, slots=True)
class Witnessed:
    """One required procedure: ``last_ms`` (UTC) is None where it was never witnessed, ``within_s``
    where no cadence bounds it."""

    procedure: str
    state: State
    last_ms: int | None
    within_s: float | None


@dataclass(frozen=True, slots=True)
class Coverage:
    """Every required procedure, in the order of the policy."""

    profile: str | None
    procedures: tuple[Witnessed, ...]

    def named(self, state: State) -> tuple[str, ...]:
        """The procedures in this state."""
        return tuple(one.procedure for one in self.procedures if one.state is state)

    @property
    def required(self) -> int:
        """How many are required."""
        return len(self.procedures)

    @property
    def fresh(self) -> int:
        """How many were witnessed as lately as they must be."""
        return len(self.named(State.FRESH))

    @property
    def due(self) -> int:
        """How many of them do not wait for an event."""
        return self.required - len(self.named(State.AWAITED))

    @property
    def stale(self) -> tuple[str, ...]:
        """Those that were witnessed, and too long ago."""
        return self.named(State.STALE)

    @property
    def missing(self) -> tuple[str, ...]:
        """Those that were never witnessed and should have been."""
        return self.named(State.MISSING)

    @property
    def ratio(self) -> float | None:
        """The share of those due that is fresh; None where none is due."""
        return self.fresh / self.due if self.due else None


class OpenLog(Protocol):
    """What has a log and settings: a node."""

    @property
    def config(self) -> Config:
        """The settings in force."""

    @property
    def journal(self) -> Journal:
        """The log."""

    @property
    def catalogue(self) -> Catalogue:
        """What is in it."""


def coverage(node: OpenLog, now_ms: int) -> Coverage:
    """The coverage of a node. It may read the disk: ask from a thread.

    Raises JournalError where the log cannot be read.
    """
    return coverage_of(node.config, node.journal, node.catalogue, now_ms)


def coverage_of(config: Config, journal: Journal, catalogue: Catalogue, now_ms: int) -> Coverage:
    """The same of a log that is open, running or not."""
    required = config.required
    if not required.procedures:
        return Coverage(config.profile, ())
    of_all = catalogue.procedures(tenant=config.tenant)
    of_node = catalogue.procedures(tenant=config.tenant, minted_only=True)
    found = []
    for procedure in required.procedures:
        counted = of_node if is_hardware(procedure) else of_all
        last_ms = None
        if procedure in counted:
            last_ms = journal.read(counted[procedure][1]).received_ns // 1_000_000
        within_s = longest_age_s(procedure, required)
        found.append(Witnessed(procedure, _state(last_ms, within_s, now_ms), last_ms, within_s))
    return Coverage(config.profile, tuple(found))


def longest_age_s(procedure: str, required: Required) -> float | None:
    """How long ago the procedure may last have been witnessed; None: events have no cadence.

    What the catalogue does not know is expected as inference is.
    """
    if is_hardware(procedure):
        return required.attestation_freshness
    entry = CATALOGUE.get(procedure)
    trigger = Trigger.INFERENCE if entry is None else entry.trigger
    cadence = required.cadence
    return {
        Trigger.INFERENCE: cadence.inference,
        Trigger.SCHEDULE: cadence.schedule,
        Trigger.REVIEW: cadence.review,
        Trigger.EVENT: None,
    }[trigger]


def _state(last_ms: int | None, within_s: float | None, now_ms: int) -> State:
    if last_ms is None:
        return State.MISSING if within_s is not None else State.AWAITED
    if within_s is None or abs(now_ms - last_ms) <= within_s * 1000:  # a clock may be set back
        return State.FRESH
    return State.STALE


def coverage_view(covered: Coverage) -> Mapping[str, Any]:
    """``coverage`` of ``status --json`` (docs/formats.md, "JSON")."""
    return {
        "profile": covered.profile,
        "required": covered.required,
        "fresh": covered.fresh,
        "ratio": covered.ratio,
        "procedures": [
            {
                "procedure_id": one.procedure,
                "state": one.state.value,
                "last": one.last_ms,
                "within_s": one.within_s,
            }
            for one in covered.procedures
        ],
    }
