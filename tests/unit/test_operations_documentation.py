"""docs/operations.md says what the code does."""

import re
from pathlib import Path

from swt3_agent.config import Config
from swt3_agent.daemon.families import FAMILIES
from swt3_agent.daemon.reload import AT_RUN_TIME, NO_SETTINGS
from swt3_agent.telemetry import Event

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "operations.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below ``heading``, without its head."""
    section = TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_metric_is_documented_as_it_is() -> None:
    documented = {row[0]: (row[1], row[2].replace("`", ""), row[3]) for row in rows("Metrics")}
    assert documented == {
        family.name: (family.sort.value, ", ".join(family.labels) or "-", family.help)
        for family in FAMILIES.values()
    }


def test_every_kind_of_log_entry_is_documented_as_it_is() -> None:
    section = TEXT.split("\n## Log entries\n", 1)[1].split("\n## ", 1)[0]
    for event in Event:
        row = f"| `{event.name}` | `{event.message_id}` | {event.meaning} | {event.remedy} |"
        assert row in section.splitlines(), row
    assert len(rows("Log entries")) == len(Event)


def test_every_kind_of_log_entry_is_used() -> None:
    code = "".join(
        path.read_text() for path in (ROOT / "swt3_agent").rglob("*.py") if path.name != "events.py"
    )
    unused = [event.name for event in Event if not re.search(rf"Event\.{event.name}\b", code)]
    assert unused == []


def test_what_waits_for_a_restart_is_documented() -> None:
    section = TEXT.split("\n## Reload\n", 1)[1].split("\n## ", 1)[0]
    waiting = section[section.index("`tenant`") : section.index("need a\nrestart")]
    settings = set(Config.__dataclass_fields__) - NO_SETTINGS
    assert set(re.findall("`(\\w+)`", waiting)) == settings - AT_RUN_TIME
