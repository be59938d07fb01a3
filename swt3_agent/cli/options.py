"""What several verbs share: common options, the settings in force, JSON on standard output."""

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swt3_agent.config import Config, load_config


def add_config(parser: argparse.ArgumentParser) -> None:
    """``--config``: which agent.yaml."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="agent.yaml to read (default: /etc/swt3-agent/agent.yaml where it exists)",
    )


def add_json(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """``--json``: the pinned machine-readable shape.

    ``again``: for an action of a verb that has the option itself, so that it may stand before or
    after the action.
    """
    default = argparse.SUPPRESS if again else False
    parser.add_argument("--json", action="store_true", default=default, help="print JSON")


def add_action(actions: Any, name: str, summary: str) -> argparse.ArgumentParser:
    """An action of a verb, with the options of the verb again; ``actions`` are its subparsers."""
    action: argparse.ArgumentParser = actions.add_parser(
        name, help=summary, description=summary, allow_abbrev=False
    )
    add_json(action, again=True)
    action.add_argument(
        "--config", type=Path, default=argparse.SUPPRESS, metavar="FILE", help="agent.yaml to read"
    )
    return action


def add_reason(parser: argparse.ArgumentParser) -> None:
    """``--reason``: of what changes whom a node's log vouches for."""
    parser.add_argument(
        "--reason", required=True, metavar="TEXT", help="why: it is recorded, with your user"
    )


def add_profile(parser: argparse.ArgumentParser) -> None:
    """``--profile``: whose rules hold, in place of those that agent.yaml names."""
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="profile to hold to, over SWT3_PROFILE and agent.yaml (see `swt3-agent profiles`)",
    )


def config_of(args: argparse.Namespace, *, complete: bool = False) -> Config:
    """The settings in force for this call.

    ``complete``: with all that minting and delivery need. A verb that only looks does without the
    daemon's secrets, which its user need not have.
    """
    profile = getattr(args, "profile", None)
    return load_config(os.environ, args.config, profile, complete=complete)


def sequence_number(text: str) -> int:
    """A record's number in the log. Raises argparse.ArgumentTypeError."""
    if not re.fullmatch("[0-9]{1,19}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a sequence number: 0, 1, 2 and so on")
    return int(text)


def print_json(value: Mapping[str, Any] | list[Any]) -> None:
    """One JSON document on standard output: indented for a person, compact for a pipe."""
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))
