"""``swt3-agent verify``: judge a proof or a bundle offline, without TPM, agent or its state."""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from swt3_agent.cli.files import read_bounded, write_whole
from swt3_agent.cli.text import printable, show, show_progress
from swt3_agent.errors import AgentError, UsageError
from swt3_agent.protocol.note import MAX_NOTE
from swt3_agent.protocol.proof import MAX_PROOF
from swt3_agent.protocol.ustar import BLOCK, is_ustar
from swt3_agent.verify import (
    BundleReport,
    Outcome,
    Report,
    importer_key,
    sign_receipts,
    verify_bundle,
    verify_proof,
)

_MAX_KEY = 64 * 1024
_KEY_HELP = """\
Receipts: `--receipts OUT --key PEM` signs for a bundle that was verified, so that the node can
settle its records with `import-receipts OUT`. Make the key once, and give the node its public half:
    openssl genpkey -algorithm ed25519 -out importer.pem
    openssl pkey -in importer.pem -pubout -out importer.pub.pem
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _KEY_HELP
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the proof or bundle; - for standard input"
    )
    parser.add_argument(
        "--trust", type=Path, metavar="FILE", help="the enroller's signed word on this node's key"
    )
    parser.add_argument(
        "--allow-software-tpm",
        action="store_true",
        help="accept a software TPM, which is no root of trust",
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
    report = _judge(args)
    receipts = None
    if args.receipts is not None and report.outcome is Outcome.VERIFIED:
        receipts = _write_receipts(args, report)
    if args.json:
        answer = report.to_json()
        if args.receipts is not None:
            answer["receipts"] = receipts
        print(json.dumps(answer))  # ASCII: it quotes what a stranger wrote
    else:
        show(report.render())
        if args.receipts is not None and receipts is None:
            show("no receipts were written: the bundle was not verified")
        if receipts is not None:
            show(
                printable(
                    f"receipts written to {receipts['file']} by {receipts['importer']},"
                    f" Ed25519 key sha256:{receipts['key_sha256']}"
                )
            )
    return report.exit_code


def _judge(args: argparse.Namespace) -> Report | BundleReport:
    trust = None if args.trust is None else read_bounded(args.trust, MAX_NOTE)
    now_ms = time.time_ns() // 1_000_000
    with _opened(args.file) as stream:
        begin = stream.read(BLOCK)
        stream.seek(0)
        if is_ustar(begin):
            return verify_bundle(
                stream,
                trust=trust,
                allow_software_tpm=args.allow_software_tpm,
                now_ms=now_ms,
                progress=partial(show_progress, "verify"),
            )
        if args.receipts is not None:
            raise UsageError(
                "NOT_A_BUNDLE",
                f"{args.file} is no bundle: receipts are for bundles",
                remedy="leave --receipts out, or give the file that `swt3-agent export` wrote",
            )
        return verify_proof(
            stream.read(MAX_PROOF + 1),
            trust=trust,
            allow_software_tpm=args.allow_software_tpm,
            now_ms=now_ms,
        )


def _write_receipts(args: argparse.Namespace, report: Report | BundleReport) -> dict[str, str]:
    assert isinstance(report, BundleReport)  # noqa: S101  a proof was refused before
    key = importer_key(read_bounded(args.key, _MAX_KEY))
    time_ms = time.time_ns() // 1_000_000
    write_whole(args.receipts, sign_receipts(report, key, importer=args.importer, time_ms=time_ms))
    return {
        "file": str(args.receipts),
        "importer": args.importer,
        "key_sha256": sha256(key.public_key().public_bytes_raw()).hexdigest(),
    }


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, or a copy of what cannot be read twice (standard input, a pipe)."""
    try:
        if str(path) == "-":
            with _copied(sys.stdin.buffer) as copy:
                yield copy
            return
        with path.open("rb") as stream:
            if stream.seekable():
                yield stream
            else:
                with _copied(stream) as copy:
                    yield copy
    except OSError as error:
        raise UsageError(
            "FILE_UNREADABLE", f"{path} cannot be read: {error.strerror}", remedy="check the path"
        ) from error


@contextmanager
def _copied(stream: BinaryIO) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as copy:
        try:
            shutil.copyfileobj(stream, copy)
            copy.seek(0)
        except OSError as error:
            raise AgentError(
                "SYSTEM",
                f"there is no room for a copy of what is judged: {error.strerror}",
                remedy="give the bundle as a file, or set TMPDIR to a place with room",
            ) from error
        yield copy
