"""``swt3-agent boot-log``: what was measured when this machine, or another, booted."""

import argparse
import base64
import json
import re
from pathlib import Path
from typing import Any

from swt3_agent.cli.boot_log_view import boot_view, ima_view, render_boot, render_ima
from swt3_agent.cli.files import read_bounded
from swt3_agent.cli.text import joined, show
from swt3_agent.errors import UsageError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.pcr_values import pcrs_from
from swt3_agent.tcg.event_log import MAX_LOG, parse_event_log
from swt3_agent.tcg.ima_log import MAX_IMA_LOG

LOG_TIMEOUT_S = 120.0
DEFAULT_LAST = 20
_MAX_PCRS = 64 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="a log to read; - for standard input (default: this node's own, through the agent)",
    )
    parser.add_argument(
        "--ima", action="store_true", help="the IMA log in place of the boot log, binary or ASCII"
    )
    parser.add_argument(
        "--pcrs",
        type=Path,
        metavar="JSON",
        help="the registers to hold FILE against: pcrs.json of `swt3-agent quote`",
    )
    parser.add_argument(
        "--last",
        type=int,
        default=DEFAULT_LAST,
        metavar="N",
        help=f"entries of an IMA log to show, newest last ({DEFAULT_LAST})",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="agent.yaml to read (default: /etc/swt3-agent/agent.yaml where it exists)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print events, replayed registers and measured values; exit code 0 whatever they say."""
    if args.file is None and args.pcrs is not None:
        raise UsageError(
            "USAGE",
            "--pcrs is for a FILE: the node's own log is held against its own TPM",
            remedy="see `swt3-agent boot-log --help`",
        )
    log, pcrs, lack = _of_node(args) if args.file is None else _of_file(args)
    if args.ima:
        view = ima_view(log, pcrs, max(args.last, 1))
    else:
        view = boot_view(parse_event_log(log), len(log), pcrs)
    view["lack"] = lack
    if args.json:
        print(json.dumps({"schema": "swt3-agent/boot-log/1", **view}))  # ASCII: strangers wrote it
    else:
        show(joined(render_ima(view) if args.ima else render_boot(view)))
    return 0


Source = tuple[bytes, dict[int, bytes] | None, dict[str, str] | None]
"""A log, the registers to hold it against, and why there are none."""


def _of_file(args: argparse.Namespace) -> Source:
    limit = MAX_IMA_LOG if args.ima else MAX_LOG
    log = read_bounded(args.file, limit)
    return log, None if args.pcrs is None else _registers(read_bounded(args.pcrs, _MAX_PCRS)), None


def _of_node(args: argparse.Namespace) -> Source:
    # Here, because a log in a file is read where the agent's dependencies are not installed.
    from swt3_agent.cli.options import config_of
    from swt3_agent.daemon.asking import ask

    operation = "ima_log" if args.ima else "boot_log"
    answer: dict[str, Any] = ask(config_of(args), operation, {}, LOG_TIMEOUT_S)
    pcrs = answer["pcrs"]
    registers = pcrs and pcrs_from(pcrs)
    return base64.b64decode(answer["log"]), registers, answer["lack"]


def _registers(data: bytes) -> dict[int, bytes]:
    """``{"sha256": {"<index>": "<hex>"}}``. Raises UsageError ``BAD_PCRS``."""
    value = strict_json.loads(data, max_bytes=_MAX_PCRS)
    bank = value.get("sha256") if isinstance(value, dict) else None
    if not isinstance(bank, dict) or not all(
        re.fullmatch("[0-9]{1,2}", index)
        and isinstance(digest, str)
        and re.fullmatch("[0-9A-Fa-f]{64}", digest)
        for index, digest in bank.items()
    ):
        raise UsageError(
            "BAD_PCRS",
            "--pcrs names no file of SHA-256 registers",
            remedy='give {"sha256": {"0": "<64 hex digits>", …}}, as `swt3-agent quote` writes it',
        )
    return pcrs_from(bank)
