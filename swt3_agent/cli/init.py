"""``swt3-agent init``: a configuration to begin with, explained line by line."""

import argparse
import contextlib
import grp
import os
import socket
from pathlib import Path

from swt3_agent.cli.files import make_directory, write_whole
from swt3_agent.cli.options import add_json, print_json
from swt3_agent.cli.text import printable, show
from swt3_agent.config import DEFAULT_FILE, Profile, examine, load_profile
from swt3_agent.config.problems import Problem
from swt3_agent.config.template import Beginning, agent_yaml
from swt3_agent.errors import FormatError, UsageError
from swt3_agent.protocol.fingerprint import check_tenant

_MODE = 0o640
_SERVICE_GROUP = "swt3"
_STANDARD_OUTPUT = Path("-")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--profile", metavar="NAME", help="whose rules hold (see `profiles`)")
    parser.add_argument("--air-gap", action="store_true", help="no ledger: level 3, and bundles")
    parser.add_argument("--tenant", metavar="T", help="in whose name anchors are minted")
    parser.add_argument("--agent", metavar="ID", help="name of this agent (default: the host's)")
    parser.add_argument(
        "--output",
        type=Path,
        default=DEFAULT_FILE,
        metavar="FILE",
        help=f"file to write, `-` for standard output (default: {DEFAULT_FILE})",
    )
    add_json(parser)
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def run(args: argparse.Namespace) -> int:
    """Write the file and say what is left to do."""
    profile = None if args.profile is None else load_profile(args.profile)
    if args.tenant is not None:
        _check_tenant(args.tenant)
    beginning = Beginning(profile, args.tenant, args.agent or socket.gethostname(), args.air_gap)
    text = agent_yaml(beginning)
    if args.output == _STANDARD_OUTPUT:
        if args.json:
            print_json({"schema": "swt3-agent/init/1", "file": None, "text": text})
        else:
            print(text, end="")
        return 0
    _write(args.output, text, force=args.force)
    found = examine(os.environ, args.output)
    missing = [*found.problems, *found.lacks]
    if args.json:
        rows = [problem.as_view() for problem in missing]
        print_json({"schema": "swt3-agent/init/1", "file": str(args.output), "missing": rows})
    else:
        lines = _next_steps(args.output, profile, missing, air_gap=args.air_gap)
        show(printable("\n".join(lines)))
    return 0


def _check_tenant(tenant: str) -> None:
    try:
        check_tenant(tenant)
    except FormatError as error:
        raise UsageError("BAD_TENANT", error.message, remedy=error.remedy) from error


def _write(path: Path, text: str, *, force: bool) -> None:
    make_directory(path.parent)
    if not force:
        _claim(path)
    try:
        write_whole(path, text.encode(), _MODE)
    except BaseException:
        if not force:
            path.unlink(missing_ok=True)
        raise
    _hand_to_service(path)


def _hand_to_service(path: Path) -> None:
    """Let the service's group read it, where there is one and we may: its user is not root."""
    with contextlib.suppress(KeyError, OSError):
        os.chown(path, -1, grp.getgrnam(_SERVICE_GROUP).gr_gid)


def _claim(path: Path) -> None:
    """Make ``path``, so that of two that write it one is refused."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE))
    except FileExistsError as error:
        raise UsageError(
            "OUTPUT_EXISTS",
            f"{path} is there already",
            remedy="name another with --output, or write over it with --force",
        ) from error


def _next_steps(
    path: Path, profile: Profile | None, missing: list[Problem], *, air_gap: bool
) -> list[str]:
    lines = [f"wrote       {path}"]
    for problem in missing:
        lines += [f"missing     {problem.message}", f"            {problem.remedy}"]
    if profile is not None:
        lines.append(f"profile     `swt3-agent profiles show {profile.name}` says what it demands")
    lines.append(f"next        edit it, then `swt3-agent config check --config {path}`")
    if air_gap:
        lines.append("            hand the log over with `swt3-agent export`")
    lines.append("            start: `systemctl restart swt3-agent`, then `swt3-agent status`")
    return lines
