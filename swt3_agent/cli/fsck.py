"""``swt3-agent fsck``: every byte of the log, and the name of any damage."""

import argparse
import sys

from swt3_agent.cli.options import add_config, add_json, config_of, print_json
from swt3_agent.cli.text import printable
from swt3_agent.store.fsck import Severity, check

EXIT_DAMAGED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check and print; exit code 3 for damage, 0 for notices alone. Changes nothing."""
    directory = config_of(args).state_dir
    on_terminal = sys.stderr.isatty()

    def progress(done: int, total: int) -> None:
        if on_terminal:
            print(f"\rfsck: {done} of {total} records", end="", file=sys.stderr, flush=True)

    findings = check(directory, progress=progress)
    if on_terminal:
        print(file=sys.stderr)
    if args.json:
        print_json(
            {
                "schema": "swt3-agent/fsck/1",
                "state_dir": str(directory),
                "findings": [
                    {
                        "code": f.code,
                        "severity": f.severity.value,
                        "where": f.where,
                        "detail": f.detail,
                        "remedy": f.remedy,
                    }
                    for f in findings
                ],
            }
        )
    else:
        for finding in findings:
            what = f"{finding.code} {finding.where}: {finding.detail}"
            print(printable(f"{finding.severity.value}: {what}"))
            print(f"  remedy: {finding.remedy}")
        print(f"{directory}: {len(findings)} findings" if findings else f"{directory}: sound")
    damaged = any(finding.severity is Severity.DAMAGE for finding in findings)
    return EXIT_DAMAGED if damaged else 0
