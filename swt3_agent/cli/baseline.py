"""``swt3-agent baseline``: which boot state this node must show, who accepted it and why."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from swt3_agent.cli.files import read_bounded, write_whole
from swt3_agent.cli.options import (
    add_action,
    add_config,
    add_json,
    add_reason,
    config_of,
    print_json,
)
from swt3_agent.cli.text import joined, show, utc_text
from swt3_agent.daemon.asking import ask, look
from swt3_agent.errors import UsageError
from swt3_agent.protocol.baseline import no_baseline
from swt3_agent.telemetry import configure_logging

EXIT_DIFFERS = 3
EXIT_NOT_COMPARED = 4
TIMEOUT_S = 300.0
STAGED_DAYS = 14
MAX_FILE = 128 * 1024
"""Bytes of a file with reference values: with escapes it must go through the control socket."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions and their options."""
    add_config(parser)
    add_json(parser)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    shown = add_action(actions, "show", "print what is in force and what is staged")
    shown.add_argument(
        "--file", type=Path, metavar="FILE", help="write the reference values there, for a fleet"
    )
    accept = add_action(actions, "accept", "accept the state that this node has now")
    add_reason(accept)
    accept.add_argument(
        "--pcrs",
        type=_registers,
        metavar="0,2,4,7",
        help="accept exactly these registers (default: what the boot log tells, and the registers"
        " that it does not describe as they are)",
    )
    accept.add_argument(
        "--except",
        dest="without",
        type=_names,
        default=[],
        metavar="1,boot-files",
        help="leave out these registers and values: the verdict says that they are not judged",
    )
    accept.add_argument(
        "--file", type=Path, metavar="FILE", help="accept what another node's `show --file` wrote"
    )
    accept.add_argument(
        "--pending",
        action="store_true",
        help="accept it beside what is in force, for an update that is planned",
    )
    accept.add_argument(
        "--days",
        type=_days,
        default=STAGED_DAYS,
        metavar="N",
        help=f"for how long, with --pending ({STAGED_DAYS})",
    )
    confirm = add_action(actions, "confirm", "put what is pending in force, once it runs")
    add_reason(confirm)
    retract = add_action(actions, "retract", "compare with nothing any more")
    add_reason(retract)
    retract.add_argument("--pending", action="store_true", help="drop only what is pending")
    add_action(actions, "diff", "print what differs now from what is in force")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; exit code 3 where the state is not the accepted one, 4 where none is."""
    configure_logging()
    return _ACTIONS[args.action](args)


def _show(args: argparse.Namespace) -> int:
    view = look(config_of(args), "baseline", {}, TIMEOUT_S)
    if args.file is not None:
        if view["in_force"] is None:
            raise no_baseline()
        text = json.dumps(view["in_force"]["reference"], indent=2, sort_keys=True)
        write_whole(args.file, text.encode() + b"\n")
    if args.json:
        print_json({"schema": "swt3-agent/baseline/1", **view})
    else:
        show(joined(baseline_lines(view)))
    return 0


def _accept(args: argparse.Namespace) -> int:
    if args.file is not None and (args.pcrs is not None or args.without):
        raise UsageError(
            "USAGE",
            "--file says what is accepted, so that --pcrs and --except have nothing to choose",
            remedy="edit the file",
        )
    wanted = {
        "reason": args.reason,
        "pcrs": args.pcrs,
        "without": args.without,
        "reference": None if args.file is None else _read_reference(args.file),
        "stage_days": args.days if args.pending else None,
    }
    return _change(args, "baseline_accept", wanted)


def _confirm(args: argparse.Namespace) -> int:
    return _change(args, "baseline_confirm", {"reason": args.reason})


def _retract(args: argparse.Namespace) -> int:
    wanted = {"reason": args.reason, "staged_only": args.pending}
    return _change(args, "baseline_retract", wanted)


def _change(args: argparse.Namespace, operation: str, wanted: dict[str, Any]) -> int:
    answer = ask(config_of(args), operation, wanted, TIMEOUT_S)
    if args.json:
        print_json({"schema": "swt3-agent/baseline-change/1", **answer})
    else:
        lines = [f"record {answer['record']}: {answer['event']}", *baseline_lines(answer)]
        lines.append(f"{'verdict':<12}AI-HW.3 {answer['verdict']}")
        lines += [f"{'':<12}{found['code']}: {found['detail']}" for found in answer["reasons"]]
        show(joined(lines))
    return 0


def _diff(args: argparse.Namespace) -> int:
    answer = ask(config_of(args), "baseline_diff", {}, TIMEOUT_S)
    if args.json:
        print_json({"schema": "swt3-agent/baseline-diff/1", **answer})
    else:
        show(joined(_difference_lines(answer)))
    if answer["differs"] is None:
        return EXIT_NOT_COMPARED
    return EXIT_DIFFERS if answer["differs"] else 0


_ACTIONS = {
    "show": _show,
    "accept": _accept,
    "confirm": _confirm,
    "retract": _retract,
    "diff": _diff,
}


_NONE = [
    "baseline    none is in force: the boot state is compared with nothing",
    "            accept it: swt3-agent baseline accept --reason TEXT",
]


def baseline_lines(view: dict[str, Any], *, brief: bool = False) -> list[str]:
    """What is in force and what is staged, for a person; ``brief``: without what is judged."""
    in_force, staged = view["in_force"], view["staged"]
    if in_force is None:
        return _NONE
    lines = [f"baseline    record {in_force['record']}, {_whose(in_force)}"]
    lines += _judged(in_force, brief=brief)
    if staged is not None:
        until = utc_text(staged["expires_ms"])
        how = f"EXPIRED at {until}, no longer accepted" if staged["expired"] else f"until {until}"
        lines.append(f"pending     record {staged['record']}, {how}, {_whose(staged)}")
        lines += _judged(staged, brief=brief)
    return lines


def _whose(accepted: dict[str, Any]) -> str:
    by = accepted["by"]
    who = f"{by['user'] or 'a user without a name'} (uid {by['uid']})"
    return f"by {who} at {utc_text(accepted['time_ms'])}: {accepted['reason']}"


def _judged(accepted: dict[str, Any], *, brief: bool) -> list[str]:
    lines = []
    if not brief:
        pcrs = ", ".join(map(str, accepted["pcrs"])) or "none"
        lines.append(f"{'':<12}PCRs as they were: {pcrs}")
    if not brief and accepted["values"]:
        lines.append(f"{'':<12}from the boot log: {', '.join(accepted['values'])}")
    if accepted["unjudged"]:
        which = ", ".join(map(str, accepted["unjudged"]))
        lines.append(f"{'':<12}NOT judged, or not wholly: PCR {which}")
    return lines


def _difference_lines(answer: dict[str, Any]) -> list[str]:
    lines = [] if answer["accepted"] else [*_NONE]
    for one in answer["accepted"]:
        what = f"the {'pending update' if one['staged'] else 'baseline'} of record {one['record']}"
        if not one["differences"]:
            lines.append(f"nothing differs from {what}")
        else:
            lines.append(f"differs from {what}:")
        lines += [f"    {found['code']}: {found['detail']}" for found in one["differences"]]
        if one["unjudged"]:
            lines.append(f"    not judged: PCR {', '.join(map(str, one['unjudged']))}")
    return lines


def _read_reference(path: Path) -> str:
    data = read_bounded(path, MAX_FILE)
    try:
        if len(data) <= MAX_FILE:
            return data.decode()
        why = f"more than {MAX_FILE} bytes"
    except UnicodeDecodeError:
        why = "no text"
    raise UsageError(
        "BASELINE_FILE",
        f"{path} holds no reference values: {why}",
        remedy="name what `swt3-agent baseline show --file FILE` wrote",
    )


def _registers(text: str) -> list[int]:
    if not re.fullmatch("[0-9]{1,2}(,[0-9]{1,2})*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of registers such as 0,2,4,7")
    return sorted({int(index) for index in text.split(",")})


def _names(text: str) -> list[str]:
    names = text.split(",")
    if not all(re.fullmatch("[0-9]{1,2}|[a-z][a-z0-9-]{0,63}", name) for name in names):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of registers and names of values")
    return names


def _days(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,2}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days from 1 to 999")
    return int(text)
