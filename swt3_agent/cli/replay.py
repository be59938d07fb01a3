"""``swt3-agent replay``: verify a bundle, deliver its anchors to a ledger, and sign receipts."""

import argparse
import time
from functools import partial
from pathlib import Path

from swt3_agent.cli.files import read_bounded, write_whole
from swt3_agent.cli.options import add_config, add_json, config_of, print_json
from swt3_agent.cli.text import printable, show, show_progress
from swt3_agent.daemon.replay import replay
from swt3_agent.errors import UsageError
from swt3_agent.protocol.bundle import MANIFEST
from swt3_agent.protocol.note import MAX_NOTE
from swt3_agent.telemetry import configure_logging
from swt3_agent.verify import (
    BundleReport,
    BundleSource,
    Outcome,
    importer_key,
    sign_receipts,
    verify_bundle,
)

_MAX_KEY = 64 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="what `export` wrote")
    parser.add_argument(
        "--trust", type=Path, required=True, metavar="FILE", help="the enroller's signed word"
    )
    parser.add_argument(
        "--allow-software-tpm", action="store_true", help="accept a software TPM, as in `verify`"
    )
    parser.add_argument(
        "--receipts", type=Path, required=True, metavar="OUT", help="where the receipts go"
    )
    parser.add_argument(
        "--key", type=Path, required=True, metavar="PEM", help="the importer's private key"
    )
    parser.add_argument(
        "--importer", default="importer", metavar="NAME", help="who signs the receipts (importer)"
    )


def run(args: argparse.Namespace) -> int:
    """Exit code as `verify`; 1 where the ledger cannot be reached: then nothing is signed."""
    configure_logging()
    ledger = config_of(args).ledger
    if ledger is None:
        raise UsageError(
            "NO_LEDGER",
            "no ledger is configured that the anchors could go to",
            remedy="set SWT3_ENDPOINT and SWT3_API_KEY, or SWT3_DSN",
        )
    key = importer_key(read_bounded(args.key, _MAX_KEY))
    try:
        stream = args.bundle.open("rb")
    except OSError as error:
        raise UsageError(
            "FILE_UNREADABLE",
            f"{args.bundle} cannot be read: {error.strerror}",
            remedy="check the path",
        ) from error
    with stream:
        report = verify_bundle(
            stream,
            trust=read_bounded(args.trust, MAX_NOTE),
            allow_software_tpm=args.allow_software_tpm,
            now_ms=_now_ms(),
        )
        if report.outcome is not Outcome.VERIFIED or report.manifest is None:
            return _not_verified(report, as_json=args.json)
        source = BundleSource(stream, report.hashes[MANIFEST])
        refused = replay(source, ledger, report.manifest.tenant, partial(show_progress, "replay"))
    receipts = sign_receipts(
        report, key, importer=args.importer, time_ms=_now_ms(), refused=refused
    )
    write_whole(args.receipts, receipts)
    if args.json:
        print_json(
            {
                "schema": "swt3-agent/replay/1",
                "verify": report.to_json(),
                "refused": [{"seq": seq, "code": code} for seq, code in refused],
                "receipts": str(args.receipts),
            }
        )
    else:
        print(
            printable(
                f"records {source.first} to {source.size - 1} are delivered, {len(refused)} were"
                f" refused; receipts in {args.receipts}"
            )
        )
    return 0


def _not_verified(report: BundleReport, *, as_json: bool) -> int:
    if as_json:
        print_json(
            {
                "schema": "swt3-agent/replay/1",
                "verify": report.to_json(),
                "refused": [],
                "receipts": None,
            }
        )
    else:
        show(report.render())
    return report.exit_code


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
