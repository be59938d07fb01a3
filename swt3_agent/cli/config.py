"""``swt3-agent config``: whether the configuration is good, and what it comes to."""

import argparse
import os
from typing import Any

from swt3_agent.cli.options import add_config, add_json, add_profile, print_json
from swt3_agent.cli.text import printable, show
from swt3_agent.config import Examination, examine, shown_settings
from swt3_agent.config.problems import Problem
from swt3_agent.errors import ConfigError

EXIT_BAD = ConfigError.exit_code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_json(parser)
    actions = parser.add_subparsers(dest="action", required=True, metavar="check|show")
    check = actions.add_parser("check", help="say all that is wrong with it, and what it demands")
    show_it = actions.add_parser("show", help="print every setting in force, secrets masked")
    for action in (check, show_it):
        add_config(action)
        add_profile(action)
        add_json(action, again=True)
    show_it.add_argument("--sources", action="store_true", help="say where each comes from")


def run(args: argparse.Namespace) -> int:
    """Check or show; exit code 78 where the agent would not start like this."""
    found = examine(os.environ, args.config, args.profile)
    if args.action == "check":
        return _check(found, as_json=args.json)
    return _show(found, as_json=args.json, sources=args.sources)


def _check(found: Examination, *, as_json: bool) -> int:
    wrong = [*found.problems, *found.lacks]
    if as_json:
        print_json(
            {
                "schema": "swt3-agent/config/1",
                "source": found.source,
                "good": not wrong,
                "problems": [problem.as_view() for problem in wrong],
                "warnings": list(found.warnings),
                "ignored": list(found.ignored),
                "floors": _floors(found),
            }
        )
    else:
        show(printable("\n".join(_check_lines(found, wrong))))
    return EXIT_BAD if wrong else 0


def _check_lines(found: Examination, wrong: list[Problem]) -> list[str]:
    lines = []
    for problem in wrong:
        lines.append(f"wrong       {problem.message} [{problem.code}]")
        lines.append(f"            remedy: {problem.remedy}")
    lines += [f"warning     {warning}" for warning in found.warnings]
    lines += [f"not used    {key}" for key in found.ignored]
    lines += [
        f"demanded    {name}: {_text(value)}" for name, value in _floors(found).items() if value
    ]
    config = found.config
    if config is not None:
        ledger = "no ledger" if config.ledger is None else f"ledger {config.ledger.endpoint}"
        lines.append(
            f"in force    tenant {config.tenant}, clearing level {config.clearing_level}, {ledger}"
        )
    count = f"{len(wrong)} thing{'s' if len(wrong) > 1 else ''} wrong"
    return [*lines, f"{found.source}: {count if wrong else 'good'}"]


def _floors(found: Examination) -> dict[str, Any]:
    """What the strictest of profile and files demands."""
    policy, hardware = found.settings.policy, found.settings.hardware
    return {
        "profile": found.settings.profile,
        "min_clearing_level": policy.min_clearing_level,
        "require_signing": policy.require_signing,
        "require_agent_id": policy.require_agent_id,
        "require_jurisdiction": policy.require_jurisdiction,
        "require_attestation": hardware.require_attestation,
        "attestation_freshness": hardware.attestation_freshness,
        "required_procedures": list(policy.required_procedures),
    }


def _show(found: Examination, *, as_json: bool, sources: bool) -> int:
    shown = shown_settings(found)
    if as_json:
        settings = [
            {"key": one.path, "value": one.value, "source": one.origin}
            if sources
            else {"key": one.path, "value": one.value}
            for one in shown
        ]
        print_json({"schema": "swt3-agent/config/1", "source": found.source, "settings": settings})
    else:
        width = max(len(one.path) for one in shown)
        for one in shown:
            told = f"{one.path:<{width}}  {_text(one.value)}"
            show(printable(f"{told}  ({one.origin})" if sources else told))
    return EXIT_BAD if found.problems else 0


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "-"
    return str(value)
