"""How the demo looks: steps as they happen, and a table at the end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from swt3_agent.cli.text import printable, wrapped

_STYLE = {"PASS": "bold green", "FAIL": "bold red", "NOT_COMPARED": "yellow", "ABSENT": "dim"}
_WHOLE = frozenset({"verdict", "root of trust", "factors"})  # columns that are never wrapped


class Show:
    """Prints steps with the time each took; a spinner turns only on a terminal."""

    def __init__(self, *, to_stderr: bool = False) -> None:
        self.console = Console(highlight=False, stderr=to_stderr)

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """One step: what is appended to the list is printed under its title when it is done."""
        started = time.monotonic()
        facts: list[str] = []
        if self.console.is_terminal:
            with self.console.status(f"{title} …"):
                yield facts
        else:
            yield facts
        took = time.monotonic() - started
        self.console.print(f"[bold]{title}[/bold] [dim]({took:.1f} s)[/dim]")
        for fact in facts:
            self.say(f"    {printable(fact)}")

    def say(self, text: str = "") -> None:
        """Lines without markup, wrapped on a terminal."""
        if self.console.is_terminal:
            text = wrapped(text, self.console.width)
        self.command(text)

    def command(self, text: str) -> None:
        """A line to be copied: no terminal may break it."""
        self.console.print(text, markup=False, soft_wrap=True)

    def attested(self, rows: Sequence[dict[str, Any]]) -> None:
        """What was attested: verdict, root of trust, and why."""
        self.console.print("[bold]What was attested[/bold]")
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("what", "verdict", "root of trust", "factors", "why"):
            table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
        for row in rows:
            what = row["procedure_id"] or row["collector"]
            factors = (
                "–"
                if row["factor_a"] is None
                else f"{row['factor_a']}, {row['factor_b']}, {row['factor_c']}"
            )
            verdict = row["verdict"]
            style = _STYLE.get(verdict, "")
            table.add_row(
                escape(printable(f"{what} {row['subject']}".strip())),
                f"[{style}]{verdict}[/{style}]" if style else verdict,
                row["root_of_trust"],
                factors,
                escape(printable(_why(row))),
            )
        self.console.print(table)


def _why(row: dict[str, Any]) -> str:
    return "; ".join(f"{reason['code']}: {reason['detail']}" for reason in row["reasons"]) or "–"
