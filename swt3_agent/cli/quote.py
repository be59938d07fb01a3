"""``swt3-agent quote``: the TPM signs its boot state over a challenge."""

import argparse
import base64
import json
import re
import shlex
from pathlib import Path

from swt3_agent.cli.options import add_config, add_json, config_of, print_json
from swt3_agent.daemon.operations import ask
from swt3_agent.errors import UsageError
from swt3_agent.telemetry import configure_logging

QUOTE_TIMEOUT_S = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "--nonce", required=True, metavar="HEX", help="the challenge: 8 to 31 bytes in hex"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="where the files go"
    )


def run(args: argparse.Namespace) -> int:
    """Write ak.pem, quote.msg, quote.sig and pcrs.json into the directory."""
    configure_logging()
    if not re.fullmatch("([0-9A-Fa-f]{2})*", args.nonce):
        raise UsageError(
            "BAD_NONCE", f"--nonce {args.nonce!r} is not hex", remedy="give 16 to 62 hex digits"
        )
    answer = ask(config_of(args), "quote", {"nonce": args.nonce}, QUOTE_TIMEOUT_S)
    directory: Path = args.output
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ak.pem").write_text(answer["ak_pem"])
    (directory / "quote.msg").write_bytes(base64.b64decode(answer["attest"]))
    (directory / "quote.sig").write_bytes(base64.b64decode(answer["signature"]))
    (directory / "pcrs.json").write_text(json.dumps({"sha256": answer["pcrs"]}, indent=2) + "\n")
    command = ["tpm2_checkquote", "-u", f"{directory}/ak.pem", "-m", f"{directory}/quote.msg"]
    check = shlex.join([*command, "-s", f"{directory}/quote.sig", "-q", args.nonce])
    if args.json:
        result = {key: answer[key] for key in ("root_of_trust", "pcrs", "reset_count", "ak_name")}
        print_json(
            {"schema": "swt3-agent/quote/1", "directory": str(directory), "check": check, **result}
        )
    else:
        print(f"quoted by {answer['root_of_trust']}, AK {answer['ak_name'][:16]}…; check it with")
        print(f"    {check}")
    return 0
