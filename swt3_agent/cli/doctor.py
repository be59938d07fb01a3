"""``swt3-agent doctor``: what keeps the agent from its work here, and what to do about it."""

import argparse
import os
import sys

from swt3_agent.cli.options import add_config, add_json, add_profile, print_json
from swt3_agent.cli.text import printable, show
from swt3_agent.config import examine
from swt3_agent.daemon.doctor.examination import examine_machine
from swt3_agent.daemon.doctor.finding import Finding, Level

EXIT_UNWELL = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_profile(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check and print; exit code 1 where a check fails."""
    found = examine(os.environ, args.config, args.profile)
    findings = []
    for finding in examine_machine(found, os.environ):
        findings.append(finding)
        if not args.json:
            show(printable("\n".join(_lines(finding))))
            sys.stdout.flush()  # some of the checks take seconds
    failures = sum(finding.level is Level.FAIL for finding in findings)
    if args.json:
        print_json(
            {
                "schema": "swt3-agent/doctor/1",
                "healthy": not failures,
                "checks": [_view(finding) for finding in findings],
            }
        )
    else:
        warnings = sum(finding.level is Level.WARN for finding in findings)
        show(f"{failures} failed, {warnings} warnings")
    return EXIT_UNWELL if failures else 0


def _lines(finding: Finding) -> list[str]:
    code = f" [{finding.code}]" if finding.code else ""
    lines = [f"{finding.level.value:<5} {finding.subject:<9} {finding.detail}{code}"]
    if finding.remedy:
        lines.append(f"                remedy: {finding.remedy}")
    return lines


def _view(finding: Finding) -> dict[str, str | None]:
    return {
        "subject": finding.subject,
        "level": finding.level.value,
        "code": finding.code or None,
        "detail": finding.detail,
        "remedy": finding.remedy or None,
    }
