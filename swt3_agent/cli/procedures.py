"""``swt3-agent procedures``: what each witnesses, who asks for it, how it is judged."""

import argparse

from swt3_agent.cli.options import add_json, print_json
from swt3_agent.cli.text import show
from swt3_agent.protocol.catalogue import CATALOGUE, CatalogueEntry
from swt3_agent.protocol.procedures import PROCEDURES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the catalogue."""
    if args.json:
        rows = [_view(entry) for entry in CATALOGUE.values()]
        print_json({"schema": "swt3-agent/procedures/1", "procedures": rows})
        return 0
    for entry in CATALOGUE.values():
        rule = PROCEDURES.get(entry.id)
        factors = "relayed and counted, not judged" if rule is None else "; ".join(rule.factors)
        show(f"{entry.id:<15}{entry.title}: {entry.witnesses}")
        show(f"{'':<15}{entry.regulation}; by {entry.trigger.value}; factors: {factors}")
    return 0


def _view(entry: CatalogueEntry) -> dict[str, object]:
    rule = PROCEDURES.get(entry.id)
    return {
        "procedure_id": entry.id,
        "title": entry.title,
        "witnesses": entry.witnesses,
        "regulation": entry.regulation,
        "trigger": entry.trigger.value,
        "factors": None if rule is None else list(rule.factors),
        "judged": rule is not None,
    }
