"""Which day's tree an anchor belongs to (docs/protocol.md 9).

An anchor's own day is the UTC day of its ``anchor_epoch``, and never later than the day on which it
was received. A day is sealed some time after it has ended; what comes for it later, or from a clock
that has since been put back, goes to the day that is sealed next, marked late. So a record's day
follows from the record and from the seals, and the seals are records themselves. Days are counted
from 1970-01-01. Standard library only.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

SEAL_AFTER_S = 15 * 60
"""A day is sealed at 00:15 UTC, when clients have sent what they had in hand at midnight."""

MOST_DAYS = 31
"""Sealed at once: after a longer gap what is older goes to the first of them."""

_DAY_S = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Seal:
    """One day's tree is closed.

    It may take records ``[first, end)``, and takes those that no earlier seal took and whose own
    day is ``day`` or before it, or after ``today``, the day on which it was made.
    """

    day: int
    first: int
    end: int
    today: int

    def takes(self, seq: int, own_day: int) -> bool:
        """Whether record ``seq`` is in this tree, if no earlier seal took it."""
        return self.first <= seq < self.end and (own_day <= self.day or own_day > self.today)


def own_day(anchor_epoch: int, received_ns: int) -> int:
    """The day that an anchor names itself, as far as that can be."""
    return min(anchor_epoch // _DAY_S, received_ns // (_DAY_S * 1_000_000_000))


def seal_of(seals: Iterable[Seal], seq: int, day: int) -> Seal | None:
    """The seal, of all in the order of the log, that took record ``seq`` with own day ``day``."""
    return next((seal for seal in seals if seal.takes(seq, day)), None)


def day_to_seal(utc_s: float) -> int:
    """The newest day that can be sealed at this time."""
    return int((utc_s - SEAL_AFTER_S) // _DAY_S) - 1


def days_to_seal(seen: Collection[int], after: int, newest: int) -> list[int]:
    """Days to seal now, in order: those after ``after`` that anchors name, and ``newest`` itself.

    An ended day without anchors between them needs no seal: it has no tree.
    """
    named = {day for day in seen if after < day < newest}
    return [*sorted(named)[1 - MOST_DAYS :], newest]


def utc_day(utc_s: float) -> int:
    """The day of a time in seconds since 1970."""
    return int(utc_s // _DAY_S)


def date_of(day: int) -> str:
    """``2026-03-30``. Raises ValueError or OverflowError for days outside the calendar."""
    return date.fromordinal(_EPOCH + day).isoformat()


def parse_date(text: str) -> int:
    """The day of ``2026-03-30``. Raises ValueError for anything else."""
    if not _DATE.fullmatch(text):  # Python 3.11 and later would read more forms than this
        raise ValueError(f"{text!r} is no date: write it as 2026-03-30")
    return date.fromisoformat(text).toordinal() - _EPOCH
