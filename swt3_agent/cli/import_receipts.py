"""``swt3-agent import-receipts``: settle what an importer on the other side signed for."""

import argparse
from pathlib import Path

from swt3_agent.cli.files import read_bounded
from swt3_agent.cli.options import add_config, add_json, config_of, print_json
from swt3_agent.cli.text import printable
from swt3_agent.daemon.asking import asking
from swt3_agent.errors import UsageError
from swt3_agent.protocol.receipts import MAX_RECEIPTS
from swt3_agent.telemetry import configure_logging

IMPORT_TIMEOUT_S = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the receipts file; - for standard input"
    )


def run(args: argparse.Namespace) -> int:
    """Settle, and say what came of it."""
    configure_logging()
    data = read_bounded(args.file, MAX_RECEIPTS)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            "RECEIPTS_BODY",
            f"{args.file} is no receipts file: it is not text",
            remedy="give the file that `swt3-agent verify --receipts` wrote",
        ) from error
    with asking(config_of(args), IMPORT_TIMEOUT_S) as ask:
        answer = ask("import_receipts", {"text": text})
    if args.json:
        print_json({"schema": "swt3-agent/import-receipts/1", **answer})
        return 0
    what = "were settled already" if answer["repeated"] else "are settled"
    since = answer["accepted_since"]
    print(
        printable(
            f"records {answer['first']} to {answer['end'] - 1} {what}: {answer['importer']}"
            f" accepted {answer['accepted']} anchors and refused {answer['refused']}"
            + (f"; {since} of them had been refused before" if since else "")
        )
    )
    return 0
