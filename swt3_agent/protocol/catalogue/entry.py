"""One procedure as people read of it."""

from dataclasses import dataclass
from enum import Enum


class Trigger(Enum):
    """What brings an anchor of a procedure about, and so how often one is to be expected.

    ``INFERENCE``: inference that takes place. ``SCHEDULE``: the clock. ``REVIEW``: a campaign or an
    assessment, of people. ``EVENT``: something that may never happen.
    """

    INFERENCE = "inference"
    SCHEDULE = "schedule"
    REVIEW = "review"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A procedure: its title, what an anchor of it witnesses, and which rules ask for that.

    ``regulation`` points to where an assessor would look; it is no legal advice.
    """

    id: str
    title: str
    witnesses: str
    regulation: str
    trigger: Trigger
