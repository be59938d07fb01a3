"""``swt3-agent verify``: judge what a node handed out, offline, without TPM, agent or its state."""

import argparse
import json
import re
import shutil
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from pathlib import Path

from swt3_agent.cli.files import read_bounded, write_whole
from swt3_agent.cli.judging import AnyReport, Reader, judge
from swt3_agent.cli.text import printable, show
from swt3_agent.cli.verify_state import opened_state
from swt3_agent.errors import UsageError
from swt3_agent.protocol.note import MAX_NOTE
from swt3_agent.protocol.reference import MAX_REFERENCE
from swt3_agent.verify import (
    RECORD_HEADER,
    BundleReport,
    Outcome,
    RecordLine,
    importer_key,
    sign_receipts,
)
from swt3_agent.verify.chain import draw
from swt3_agent.verify.explain import explain

_MAX_KEY = 64 * 1024
_NONCE = re.compile("(?:[0-9A-Fa-f]{2}){8,31}")
_NARROWEST, _WIDEST = 40, 80  # columns of a picture
_MORE_HELP = """\
FILE is what `prove`, `export` or `statement` wrote, or the directory that `quote --nonce` wrote.

Memory: `--state DIR` remembers sizes, roots, counters and clocks of what was verified, and refuses
what contradicts them: a log that was rolled back, or has a second history.

Receipts: `--receipts OUT --key PEM` signs for a bundle that was verified, so that the node can
settle its records with `import-receipts OUT`. Make the key once, and give the node its public half:
    openssl genpkey -algorithm ed25519 -out importer.pem
    openssl pkey -in importer.pem -pubout -out importer.pub.pem
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _MORE_HELP
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="what to judge; - for standard input"
    )
    parser.add_argument(
        "--trust", type=Path, metavar="FILE", help="the enroller's signed word on this node's key"
    )
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="remember there, and refuse contradictions"
    )
    parser.add_argument(
        "--reference", type=Path, metavar="FILE", help="boot state that is accepted"
    )
    parser.add_argument("--nonce", metavar="HEX", help="the challenge that DIR answers")
    parser.add_argument(
        "--allow-software-tpm",
        action="store_true",
        help="accept a software TPM, which is no root of trust",
    )
    parser.add_argument(
        "--explain", action="store_true", help="draw the chain of trust in place of the checks"
    )
    parser.add_argument(
        "--records",
        action="store_true",
        help="print each record of a bundle first, with the times between which it came",
    )
    parser.add_argument(
        "--receipts", type=Path, metavar="OUT", help="sign receipts for a verified bundle"
    )
    parser.add_argument(
        "--key", type=Path, metavar="PEM", help="the importer's private key (Ed25519)"
    )
    parser.add_argument(
        "--importer", default="importer", metavar="NAME", help="who signs the receipts (importer)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the report; exit code 0 verified, 3 false, 4 cannot be judged."""
    if (args.receipts is None) != (args.key is None):
        raise UsageError(
            "USAGE", "--receipts and --key go together", remedy="see `swt3-agent verify --help`"
        )
    with ExitStack() as closing:
        state = None if args.state is None else closing.enter_context(opened_state(args.state))
        report = judge(
            args.file,
            Reader(
                trust=None if args.trust is None else read_bounded(args.trust, MAX_NOTE),
                reference=None
                if args.reference is None
                else read_bounded(args.reference, MAX_REFERENCE),
                nonce=_nonce(args.nonce),
                allow_software_tpm=args.allow_software_tpm,
                state=state,
                bundles_only=args.receipts is not None,
                records=partial(_show_records, as_json=args.json) if args.records else None,
            ),
        )
    receipts = None
    if isinstance(report, BundleReport) and report.outcome is Outcome.VERIFIED:
        receipts = _write_receipts(args, report)
    if args.json:
        answer = report.to_json()
        if args.explain:
            answer["chain"] = explain(report).to_json()
        if args.receipts is not None:
            answer["receipts"] = receipts
        print(json.dumps(answer))  # ASCII: it quotes what a stranger wrote
        return report.exit_code
    show(_explained(report) if args.explain else report.render())
    if receipts is not None:
        show(
            printable(
                f"receipts written to {receipts['file']} by {receipts['importer']},"
                f" Ed25519 key sha256:{receipts['key_sha256']}"
            )
        )
    elif args.receipts is not None:
        show("no receipts were written: the bundle was not verified")
    return report.exit_code


def _show_records(lines: Iterable[RecordLine], *, as_json: bool) -> None:
    if not as_json:
        print(RECORD_HEADER)
    for line in lines:
        print(json.dumps(line.to_json()) if as_json else line.render())


def _nonce(text: str | None) -> bytes | None:
    if text is None:
        return None
    if not _NONCE.fullmatch(text):
        raise UsageError(
            "BAD_NONCE",
            f"--nonce {text[:80]!r} is not 8 to 31 bytes in hex",
            remedy="give the nonce that you sent, 16 to 62 hex digits",
        )
    return bytes.fromhex(text)


def _explained(report: AnyReport) -> str:
    """The chain as a picture, between the verdict and what is not proven by it."""
    width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns))
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    picture = draw(explain(report), width=width, ascii_only=not encoding.startswith("utf"))
    return "\n".join([*map(printable, report.verdict_lines()), picture, *report.closing_lines()])


def _write_receipts(args: argparse.Namespace, report: BundleReport) -> dict[str, str] | None:
    if args.receipts is None:
        return None
    key = importer_key(read_bounded(args.key, _MAX_KEY))
    time_ms = time.time_ns() // 1_000_000
    write_whole(args.receipts, sign_receipts(report, key, importer=args.importer, time_ms=time_ms))
    return {
        "file": str(args.receipts),
        "importer": args.importer,
        "key_sha256": sha256(key.public_key().public_bytes_raw()).hexdigest(),
    }
