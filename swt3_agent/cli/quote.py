"""``swt3-agent quote``: the TPM signs its boot state over a challenge."""

import argparse
import base64
import json
import re
import shlex
from pathlib import Path
from typing import Any

from swt3_agent.cli.files import make_directory, write_whole
from swt3_agent.cli.options import add_config, add_json, config_of, print_json
from swt3_agent.cli.tpm2_tools import serialized_pcrs
from swt3_agent.daemon.asking import ask
from swt3_agent.errors import UsageError
from swt3_agent.protocol.pcr_values import pcrs_from
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
    """Write ak.pem, ak.pub, quote.msg, quote.sig, pcrs.bin and pcrs.json into the directory."""
    configure_logging()
    if not re.fullmatch("([0-9A-Fa-f]{2})*", args.nonce):
        raise UsageError(
            "BAD_NONCE", f"--nonce {args.nonce!r} is not hex", remedy="give 16 to 62 hex digits"
        )
    answer = ask(config_of(args), "quote", {"nonce": args.nonce}, QUOTE_TIMEOUT_S)
    directory: Path = args.output
    make_directory(directory)
    for name, content in _files(answer).items():
        write_whole(directory / name, content)
    check = _check_command(directory, args.nonce)
    if args.json:
        result = {key: answer[key] for key in ("root_of_trust", "pcrs", "reset_count", "ak_name")}
        check_line = " ".join(check)
        print_json(
            {
                "schema": "swt3-agent/quote/1",
                "directory": str(directory),
                "check": check_line,
                **result,
            }
        )
    else:
        print(f"quoted by {answer['root_of_trust']}, AK {answer['ak_name'][:16]}…")
        print("judge it, with the enroller's trust file, with")
        print(f"    {_verify_command(directory, args.nonce)}")
        print("or key, signature, nonce and PCR values alone with")
        print("    " + " \\\n        ".join(check))
    return 0


def _files(answer: dict[str, Any]) -> dict[str, bytes]:
    """What a challenger gets, by file name."""
    values = pcrs_from(answer["pcrs"])
    followed = {"successions.json": (json.dumps(answer["successions"], indent=2) + "\n").encode()}
    return {
        **(followed if answer["successions"] else {}),
        "ak.pem": answer["ak_pem"].encode(),
        "ak.pub": base64.b64decode(answer["ak_public"]),
        "quote.msg": base64.b64decode(answer["attest"]),
        "quote.sig": base64.b64decode(answer["signature"]),
        "pcrs.bin": serialized_pcrs(values),
        "pcrs.json": (json.dumps({"sha256": answer["pcrs"]}, indent=2) + "\n").encode(),
    }


def _verify_command(directory: Path, nonce: str) -> str:
    return shlex.join(
        ["swt3-agent", "verify", str(directory), "--nonce", nonce, "--trust", "TRUST"]
    )


def _check_command(directory: Path, nonce: str) -> list[str]:
    """The command, in parts that each make sense on a line of its own."""
    options = [
        ("tpm2_checkquote", "-q", nonce),
        ("-u", f"{directory}/ak.pem"),
        ("-m", f"{directory}/quote.msg", "-s", f"{directory}/quote.sig"),
        ("-f", f"{directory}/pcrs.bin"),
    ]
    return [shlex.join(part) for part in options]
