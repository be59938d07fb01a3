"""``swt3-agent export``: a range of the log in one file, for a place that no network reaches."""

import argparse
import shlex
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from swt3_agent.cli.options import add_config, add_json, config_of, print_json, sequence_number
from swt3_agent.cli.text import printable, show_progress
from swt3_agent.daemon.asking import asking
from swt3_agent.errors import AgentError
from swt3_agent.protocol.bundle import PROOF, TAIL
from swt3_agent.store.bundle.build import Plan, write_range
from swt3_agent.store.bundle.writer import BundleWriter
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.journal import Journal
from swt3_agent.store.state import existing_layout
from swt3_agent.telemetry import configure_logging

EXPORT_TIMEOUT_S = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "path",
        type=Path,
        nargs="?",
        default=Path(),
        metavar="DIR|FILE",
        help="where the bundle goes: a directory (.), or a file that is not there yet",
    )
    parser.add_argument(
        "--from",
        type=sequence_number,
        dest="first",
        metavar="SEQ",
        help="first record (where the last export ended)",
    )
    parser.add_argument(
        "--to",
        type=sequence_number,
        dest="end",
        metavar="SEQ",
        help="the record after the last (all there are)",
    )
    parser.add_argument(
        "--ima",
        action="store_true",
        help="with IMA logs from clearing level 2 on too: they name the files that were read",
    )


def run(args: argparse.Namespace) -> int:
    """Write the bundle whole, or not at all."""
    configure_logging()
    config = config_of(args)
    layout = existing_layout(config.state_dir)
    with asking(config, EXPORT_TIMEOUT_S) as ask:
        answer = ask("plan_export", {"first": args.first, "end": args.end, "ima": args.ima})
        plan = msgspec.convert(answer, Plan)
        target = _target(args.path, plan)
        with (
            BundleWriter(target) as writer,
            Journal.open(layout.journal, layout.keys, readonly=True) as journal,
        ):
            evidence = EvidenceStore(layout.evidence)
            manifest = write_range(
                writer, journal, plan, evidence, partial(show_progress, "export")
            )
            writer.reserve()
            digest = sha256(manifest).hexdigest()
            closing = ask(
                "close_export", {"manifest": digest, "first": plan.first, "end": plan.end}
            )
            _finish(writer, closing, plan)
            size = writer.size
    facts = {
        "schema": "swt3-agent/export/1",
        "file": str(target),
        "size": size,
        "first": plan.first,
        "end": plan.end,
        "manifest": digest,
        "record": closing["record"],
        "signed": closing["signed"],
    }
    if args.json:
        print_json(facts)
    else:
        how = "a TPM-signed head" if closing["signed"] else "an UNSIGNED head (no TPM)"
        print(printable(f"records {plan.first} to {plan.end - 1} are in {target} under {how}"))
        print(printable(f"    {shlex.join(['swt3-agent', 'verify', str(target)])}"))
    return 0


def _target(path: Path, plan: Plan) -> Path:
    if path.is_dir():
        return path / f"swt3-{plan.node_id[:12]}-{plan.first}-{plan.end}.tar"
    return path


def _finish(writer: BundleWriter, closing: dict[str, Any], plan: Plan) -> None:
    try:
        writer.add(PROOF, closing["proof"].encode())
        writer.add(TAIL, closing["tail"].encode())
        writer.finish()
    except AgentError as error:
        again = f"the log holds this export already: repeat it with --from {plan.first}"
        raise AgentError(error.code, error.message, remedy=f"{error.remedy}; {again}") from error
