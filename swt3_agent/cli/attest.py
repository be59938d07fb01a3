"""``swt3-agent attest``: one reading of each collector, judged and recorded, now."""

import argparse
import sys
from typing import Any

from swt3_agent.cli.options import add_config, add_json, config_of, print_json
from swt3_agent.cli.text import joined, show
from swt3_agent.daemon.asking import ask, begins_a_log
from swt3_agent.telemetry import configure_logging

EXIT_FAIL = 3
ATTEST_TIMEOUT_S = 24 * 3600.0  # large models take as long as they take


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "collectors",
        nargs="*",
        metavar="COLLECTOR",
        help="host, platform, gpu (with nvlink), environment, weights (with adapters and "
        "quantization), audit (all, the audit where a day is due)",
    )


def run(args: argparse.Namespace) -> int:
    """Attest and print; exit code 3 when anything is FAIL."""
    configure_logging()
    config = config_of(args)
    begins = begins_a_log(config)
    try:
        rows = ask(config, "attest", {"collectors": args.collectors}, ATTEST_TIMEOUT_S)
    finally:
        if begins and not begins_a_log(config):
            print(f"swt3-agent: began a new log in {config.state_dir}", file=sys.stderr)
    if args.json:
        print_json(rows)
    else:
        for row in rows:
            show(attestation_line(row))
    return EXIT_FAIL if any(row["verdict"] == "FAIL" for row in rows) else 0


def attestation_line(row: dict[str, Any]) -> str:
    """One appraisal for a person: verdict, what, by which root of trust, and why."""
    what = row["procedure_id"] or row["collector"]
    subject = f" {row['subject']}" if row["subject"] else ""
    lines = [f"{row['verdict']:<12} {what}{subject} ({row['root_of_trust']})"]
    if row["anchor_token"]:
        lines.append(f"             {row['anchor_token']}  record {row['record']}")
    for reason in row["reasons"]:
        lines.append(f"             {reason['code']}: {reason['detail']}")
        if reason["remedy"]:
            lines.append(f"               remedy: {reason['remedy']}")
    return joined(lines)
