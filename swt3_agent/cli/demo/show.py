"""How the demo looks: steps as they happen, and a table at the end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

_STYLE = {"PASS": "bold green", "FAIL": "bold red", "NOT_COMPARED": "yellow", "ABSENT": "dim"}


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
            self.console.print(f"    {fact}", markup=False, soft_wrap=True)

    def say(self, text: str = "") -> None:
        """One line, without markup."""
        self.console.print(text, markup=False, soft_wrap=True)

    def attested(self, rows: Sequence[dict[str, Any]]) -> None:
        """What was attested: verdict, root of trust, and why."""
        table = Table(title="What was attested", title_justify="left", expand=False)
        for column in ("what", "verdict", "root of trust", "factors", "why"):
            table.add_column(column, overflow="fold")
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
                f"{what} {row['subject']}".strip(),
                f"[{style}]{verdict}[/{style}]" if style else verdict,
                row["root_of_trust"],
                factors,
                "; ".join(f"{r['code']}: {r['detail']}" for r in row["reasons"]) or "–",
            )
        self.console.print(table)
