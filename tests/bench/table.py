"""What a benchmark says: ours beside a peer's in the same run, because only ratios carry over."""

from collections.abc import Iterable
from dataclasses import dataclass

_HEADINGS = ("what", "ours", "peer", "ratio", "goal", "unit")


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    ``ours`` and ``peer`` are figures of this run in ``unit``; ``ratio`` is theirs as ``goal`` means
    it (a text such as ">= 30" or "<= 3"). A figure without a peer has ``peer`` and ``ratio`` None.
    """

    name: str
    ours: float
    peer: float | None
    ratio: float | None
    goal: str
    unit: str

    @property
    def reached(self) -> bool | None:
        """Whether ``ratio``, or ``ours`` where there is no peer, meets ``goal``; None: no goal."""
        sign, _, bound = self.goal.partition(" ")
        value = self.ours if self.ratio is None else self.ratio
        if sign == ">=":
            return value >= float(bound)
        if sign == "<=":
            return value <= float(bound)
        return None


def render(rows: Iterable[Row]) -> str:
    """The rows as a table in text, with what was missed marked."""
    lines = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 5) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    missed = " !" if row.reached is False else ""
    return (
        row.name,
        _figure(row.ours),
        "" if row.peer is None else _figure(row.peer),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        row.goal + missed,
        row.unit,
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
