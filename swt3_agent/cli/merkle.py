"""``swt3-agent merkle``: the root of a day's anchors, or the proof that one is among them."""

import argparse
from typing import Any

from swt3_agent.cli.options import add_config, add_json, config_of, print_json
from swt3_agent.cli.text import printable, show, utc_text
from swt3_agent.daemon.asking import look
from swt3_agent.telemetry import configure_logging

MERKLE_TIMEOUT_S = 1800.0  # a day of ten million anchors is read again for a proof


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "date", nargs="?", metavar="DATE", help="a UTC day, as 2026-03-30 (the last sealed one)"
    )
    parser.add_argument(
        "--fingerprint", metavar="FP", help="prove the anchor with this fingerprint, 12 hex digits"
    )


def run(args: argparse.Namespace) -> int:
    """Print the day's root, or the proof."""
    configure_logging()
    question = {"date": args.date, "fingerprint": args.fingerprint}
    answer = look(config_of(args), "merkle", question, MERKLE_TIMEOUT_S)
    if args.json:
        print_json({"schema": "swt3-agent/merkle/1", **answer})
        return 0
    lines = day_lines(answer) if args.fingerprint is None else proof_lines(answer)
    show(printable("\n".join(lines)))
    return 0


def day_lines(day: dict[str, Any]) -> list[str]:
    """A day's tree (docs/formats.md, "Daily roll-up") for a person."""
    late = f", {day['late']} of them late" if day["late"] else ""
    log = day["log"]
    lines = [
        f"day         {day['date']} of tenant {day['tenant']}",
        f"anchors     {day['count']}{late}",
        f"root        {day['root'] or 'none: there was no anchor'}",
        f"log         {log['size']} records, root {log['root']}",
    ]
    if not day["sealed"]:
        return [*lines, "sealed      no: the day is not over, and its root will change"]
    lines.append(f"sealed      {utc_text(day['sealed_at'])}, in record {day['record']}")
    held = "held" if day["verified"] else "did NOT hold: see its AI-AUDIT.1"
    anchor = day["anchor"]
    where = "no AI-AUDIT.1 yet"
    if anchor is not None:
        where = f"{anchor['token']} in record {anchor['record']}"
    lines.append(
        f"audit       {day['read_back']} of {log['size']} records read back: the log {held}"
    )
    return [*lines, f"            {where}"]


def proof_lines(proof: dict[str, Any]) -> list[str]:
    """A proof for a person; its steps are for a program."""
    day = proof["day"]
    records = ", ".join(str(record) for record in proof["records"])
    lines = [
        f"anchor      {proof['fingerprint']}: record {records}",
        f"day         {day['date']}" + (" (late: of another day)" if proof["late"] else ""),
        f"root        {proof['root']}",
        f"proof       {len(proof['steps'])} steps from {proof['leaf_hash']}",
    ]
    if not day["sealed"]:
        lines.append("sealed      no: the day is not over, and its root will change")
    else:
        lines.append(f"sealed      {utc_text(day['sealed_at'])}, in record {day['record']}")
    return [*lines, "            --json has the steps, and the proofs of both records in the log"]
