"""``swt3-agent verify``: judge a proof offline, without TPM, agent or its state."""

import argparse
import json
import sys
import time
from pathlib import Path

from swt3_agent.cli.text import show
from swt3_agent.errors import UsageError
from swt3_agent.protocol.proof import MAX_PROOF
from swt3_agent.verify import verify_proof


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the proof; - for standard input")
    parser.add_argument(
        "--trust", type=Path, metavar="FILE", help="the enroller's signed word on this node's key"
    )
    parser.add_argument(
        "--allow-software-tpm",
        action="store_true",
        help="accept a software TPM, which is no root of trust",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the report; exit code 0 verified, 3 false, 4 cannot be judged."""
    report = verify_proof(
        _read(args.file),
        trust=None if args.trust is None else _read(args.trust),
        allow_software_tpm=args.allow_software_tpm,
        now_ms=time.time_ns() // 1_000_000,
    )
    if args.json:
        print(json.dumps(report.to_json()))  # ASCII: it quotes what a stranger wrote
    else:
        show(report.render())
    return report.exit_code


def _read(path: Path) -> bytes:
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(MAX_PROOF + 1)
        with path.open("rb") as stream:
            return stream.read(MAX_PROOF + 1)
    except OSError as error:
        raise UsageError(
            "FILE_UNREADABLE", f"{path} cannot be read: {error.strerror}", remedy="check the path"
        ) from error
