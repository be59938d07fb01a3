"""``swt3-agent queue``: what waits for the ledger, what it refused, and orders to try again."""

import argparse
import re
from typing import Any

from swt3_agent.cli.options import add_config, add_json, config_of, print_json
from swt3_agent.cli.text import printable, show, utc_text
from swt3_agent.daemon.asking import look, tell
from swt3_agent.errors import UsageError

TIMEOUT_S = 30.0
_NO_LANE = {
    "none": "delivery    no ledger is configured",
    "not-running": "delivery    no agent runs; this is what its log says",
}
_NUMBER = re.compile("[0-9]{1,19}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "order",
        nargs="?",
        choices=["retry", "resume"],
        help="`retry` sends refused records again, `resume` goes on now that what stopped it is"
        " mended; without either the queue is shown",
    )
    parser.add_argument(
        "record",
        nargs="?",
        type=_record,
        help="for `retry`: a record that is shown as refused, or `all`",
    )


def run(args: argparse.Namespace) -> int:
    """Show the queue, or give its lane an order."""
    if (args.order == "retry") != (args.record is not None):
        raise UsageError(
            "USAGE",
            "`retry` needs to know which record, and nothing else does",
            remedy="swt3-agent queue [retry RECORD|all | resume]",
        )
    config = config_of(args)
    if args.order is None:
        queue = look(config, "queue", {}, TIMEOUT_S)
        _tell(args, queue, queue_lines(queue))
    elif args.order == "retry":
        records = None if args.record == "all" else [int(args.record)]
        done = tell(config, "queue_retry", {"records": records}, TIMEOUT_S)
        left = f"; {done['left']} are left, so ask once more" if done["left"] else ""
        _tell(args, done, [f"records that are sent again: {done['retried']}{left}"])
    else:
        done = tell(config, "queue_resume", {}, TIMEOUT_S)
        _tell(args, done, ["delivery tries again now; `swt3-agent queue` shows how it goes"])
    return 0


def _tell(args: argparse.Namespace, answer: dict[str, Any], lines: list[str]) -> None:
    if args.json:
        print_json({"schema": "swt3-agent/queue/1", **answer})
    else:
        show(printable("\n".join(lines)))


def queue_lines(queue: dict[str, Any]) -> list[str]:
    """``queue`` (docs/formats.md, "JSON") for a person: a label and a fact on each line."""
    exceptions = f"of them {queue['refused']} refused and {queue['withheld']} withheld"
    lines = [
        *(delivery_lines(queue) or [_NO_LANE[queue["lane"]]]),
        f"waiting     {queue['backlog']} records"
        + (f", the oldest since {utc_text(queue['oldest'])}" if queue["oldest"] else ""),
        f"settled     {queue['settled']} records, {exceptions}",
    ]
    if queue["differing"]:
        lines.append(f"verdicts    {queue['differing']} of the ledger are not this agent's")
    lines += [
        f"refused     record {one['record']}: {one['error']} (receipt {one['receipt']})"
        for one in queue["refused_records"]
    ]
    if more := queue["refused"] - len(queue["refused_records"]):
        lines.append(f"            and {more} more")
    return lines


def delivery_lines(delivery: dict[str, Any]) -> list[str]:
    """How delivery stands, and what hinders it; nothing where nothing is delivered."""
    if delivery["lane"] in ("none", "not-running"):
        return []
    last = f"last delivered to {delivery['ledger']} at {utc_text(delivery['last_success'])}"
    lines = [f"delivery    {delivery['lane']}, {delivery['backlog']} records wait, {last}"]
    if error := delivery["error"]:
        lines.append(
            f"            {error['code']} since {utc_text(error['since'])}: {error['detail']}"
        )
        lines.append(f"            remedy: {error['remedy']}")
    return lines


def _record(text: str) -> str:
    if text != "all" and _NUMBER.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a record's number nor `all`")
    return text
