"""``swt3-agent version``."""

import argparse
import json
import platform

from swt3_agent import __version__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the versions of the agent and of the interpreter that runs it."""
    versions = {"version": __version__, "python": platform.python_version()}
    if args.json:
        print(json.dumps({"schema": "swt3-agent/version/1", **versions}))
    else:
        print(f"swt3-agent {versions['version']} (Python {versions['python']})")
    return 0
