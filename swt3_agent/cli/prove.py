"""``swt3-agent prove``: a proof of one record, for someone who has nothing else."""

import argparse
import shlex
from pathlib import Path

from swt3_agent.cli.files import write_whole
from swt3_agent.cli.options import add_config, add_json, config_of, print_json
from swt3_agent.daemon.asking import ask
from swt3_agent.errors import UsageError
from swt3_agent.telemetry import configure_logging

PROVE_TIMEOUT_S = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "record", metavar="SEQ|FINGERPRINT", help="a sequence number, or a 12-digit fingerprint"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where the proof goes (standard output)"
    )
    parser.add_argument(
        "--hide-provenance", action="store_true", help="prove the payload without who sent it"
    )


def run(args: argparse.Namespace) -> int:
    """Write the proof; where several records bear the fingerprint, list them and write none."""
    configure_logging()
    arguments = {"record": args.record, "hide_provenance": args.hide_provenance}
    answer = ask(config_of(args), "prove", arguments, PROVE_TIMEOUT_S)
    if answer["proof"] is None:
        records = ", ".join(str(record) for record in answer["records"])
        raise UsageError(
            "AMBIGUOUS_FINGERPRINT",
            f"{len(answer['records'])} records bear the fingerprint {args.record}: {records}",
            remedy="name one of them by its sequence number; 48 bits can collide",
        )
    facts = {
        "schema": "swt3-agent/prove/1",
        "record": answer["records"][0],
        "size": answer["size"],
        "signed": answer["signed"],
    }
    if args.output is not None:
        write_whole(args.output, answer["proof"].encode())
        facts["file"] = str(args.output)
    if args.json:
        # As text, since a proof has one spelling and a JSON tool would give it another.
        print_json(facts if args.output is not None else {**facts, "proof": answer["proof"]})
    elif args.output is None:
        print(answer["proof"], end="")
    else:
        how = "a TPM-signed head" if answer["signed"] else "an UNSIGNED head (no TPM)"
        print(f"record {facts['record']} is proved by {how} of {facts['size']} records")
        print(f"    {shlex.join(['swt3-agent', 'verify', str(args.output)])}")
    return 0
