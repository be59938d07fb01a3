"""``swt3-agent statement``: an in-toto statement of a record, signed by the attestation key."""

import argparse
import shlex
from pathlib import Path

from swt3_agent.cli.files import write_whole
from swt3_agent.cli.options import add_config, add_json, config_of, print_json
from swt3_agent.daemon.asking import ask
from swt3_agent.telemetry import configure_logging

STATEMENT_TIMEOUT_S = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "record",
        metavar="SEQ|PROCEDURE",
        help="an anchor of AI-HW.* or AI-MDL.*, or a procedure, whose newest anchor is meant",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where it goes (standard output)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the DSSE envelope."""
    configure_logging()
    answer = ask(config_of(args), "statement", {"record": args.record}, STATEMENT_TIMEOUT_S)
    facts = {"schema": "swt3-agent/statement/1"} | {
        key: answer[key] for key in ("record", "ak_name", "root_of_trust")
    }
    if args.output is not None:
        write_whole(args.output, answer["envelope"].encode())
        facts["file"] = str(args.output)
    if args.json:
        # As text: its bytes are what a digest of the file is over.
        print_json(facts if args.output is not None else facts | {"envelope": answer["envelope"]})
    elif args.output is None:
        print(answer["envelope"], end="")
    else:
        who = answer["root_of_trust"]
        print(f"record {answer['record']} is stated, signed by {who}, AK {answer['ak_name'][:16]}…")
        if who == "software-tpm":
            print("a software TPM is no root of trust: root can copy its keys")
        command = ["swt3-agent", "verify", str(args.output), "--trust", "TRUST"]
        print(f"    {shlex.join(command)}")
    return 0
