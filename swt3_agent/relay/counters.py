"""What the intake has seen and done since it started, for status and metrics."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from swt3_agent.relay.answers import Code


@dataclass(slots=True)
class IntakeCounters:
    """All counts only ever rise, but for ``connections``, which are those open now.

    ``accepted`` are connections so far, ``evicted`` those that had to make room for another.
    ``relayed`` and ``quarantined`` are records made durable, ``cleared`` those of both from which
    clearing removed something. ``rejected`` counts error answers by code, one for each refused
    request and one for each record that was not accepted. ``violations`` counts what `check` had
    against tool calls, by rule.
    """

    connections: int = 0
    accepted: int = 0
    evicted: int = 0
    requests: int = 0
    relayed: int = 0
    quarantined: int = 0
    cleared: int = 0
    rejected: Counter[Code] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)


def total(listeners: Iterable[IntakeCounters]) -> IntakeCounters:
    """What several listeners have seen and done together, as of now."""
    sums = IntakeCounters()
    for counters in listeners:
        for one in fields(IntakeCounters):
            setattr(sums, one.name, getattr(sums, one.name) + getattr(counters, one.name))
    return sums
