"""``swt3-agent log``: the records of the log, oldest first, also while the daemon writes."""

import argparse
import base64
import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial

from swt3_agent.cli.options import add_config, add_json, config_of, sequence_number
from swt3_agent.cli.text import printable
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.store.journal import Journal
from swt3_agent.store.state import existing_layout

FOLLOW_INTERVAL_S = 0.2
_UNSAFE = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
DEFAULT_WIDTH = 160  # characters; the payload of most anchors is longer
_ONE_LINE = {ord("\n"): " ", ord("\r"): " "}  # between tokens; in text JSON has them escaped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "--since", type=sequence_number, default=0, metavar="SEQ", help="first record to print"
    )
    parser.add_argument("--follow", action="store_true", help="go on as records arrive")


def run(args: argparse.Namespace) -> int:
    """Print each record on one line: for a person, or as JSON."""
    write: Callable[[Record], str] = json_line if args.json else partial(text_line, width=_width())
    layout = existing_layout(config_of(args).state_dir)
    with Journal.open(layout.journal, layout.keys, readonly=True) as journal:
        next_seq = args.since
        while True:
            for record in journal.scan(next_seq):
                print(write(record))
                next_seq = record.seq + 1
            if not args.follow:
                return 0
            sys.stdout.flush()
            time.sleep(FOLLOW_INTERVAL_S)
            journal.refresh()


def json_line(record: Record) -> str:
    """One record as a JSON object; a JSON payload stands in it as it is kept.

    Only characters that end a line somewhere, or that a terminal obeys, are escaped: they stand
    in strings alone, where the escape means the same.
    """
    head = {
        "schema": "swt3-agent/log/1",
        "seq": record.seq,
        "kind": record.kind.label,
        "received": _utc(record.received_ns),
        "received_ns": record.received_ns,
        "provenance": json.loads(record.provenance),
    }
    line = f'{json.dumps(head, ensure_ascii=False)[:-1]}, "payload": {_payload(record)}}}'
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


def text_line(record: Record, width: int = DEFAULT_WIDTH) -> str:
    """One record for a person: number, time, kind, who sent it, and how the payload begins."""
    sender = json.loads(record.provenance).get("listener", "agent")
    when = _utc(record.received_ns)
    head = f"{record.seq:>8}  {when}  {record.kind.label:<12} {sender:<8} "
    line = printable(head + _payload(record))
    return line if len(line) <= width else line[: width - 1] + "…"


def _width() -> int:
    """One line of a terminal holds one record; a pipe has no such bounds."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else DEFAULT_WIDTH


def _payload(record: Record) -> str:
    """The payload's own text where that is one line of JSON; else its bytes in base64."""
    if record.kind is not Kind.QUARANTINE:  # what was refused may be anything
        try:
            text = record.payload.decode()
            json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            return text.translate(_ONE_LINE)
    return json.dumps({"base64": base64.b64encode(record.payload).decode()})


def _utc(received_ns: int) -> str:
    moment = datetime.fromtimestamp(received_ns // 1_000_000_000, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{received_ns // 1_000_000 % 1000:03d}Z"
