"""``enroll request`` and ``answer``: the node's steps, which its agent takes."""

import argparse
from typing import Any

from swt3_agent.cli.enroll_files import read_at_most, tell
from swt3_agent.cli.files import write_new
from swt3_agent.cli.options import config_of
from swt3_agent.daemon.asking import ask
from swt3_agent.errors import FormatError
from swt3_agent.protocol.enrolment import MAX_ENROLMENT_FILE
from swt3_agent.telemetry import configure_logging

TIMEOUT_S = 600.0
"""A hardware TPM may take minutes to derive its RSA endorsement key."""


def request(args: argparse.Namespace) -> int:
    """Write the request."""
    configure_logging()
    answer = ask(config_of(args), "enrol_request", {}, TIMEOUT_S)
    write_new(args.output, answer.pop("request").encode())
    facts = {"file": str(args.output), **answer}
    lines = [
        f"node     {answer['node_id']}, log {answer['log_id']}",
        f"TPM      {_kind(answer)}",
        *(f"EK       sha256:{key['sha256']} {_ek(key)}" for key in answer["endorsement_keys"]),
        f"request  {args.output}, sha256:{answer['digest']}",
        "         take it to the enroller, who compares that digest: `swt3-agent enroll challenge`",
    ]
    tell(args.json, "request", facts, lines)
    return 0


def answer(args: argparse.Namespace) -> int:
    """Write the answer."""
    configure_logging()
    challenge = read_at_most(args.file, MAX_ENROLMENT_FILE)
    try:
        text = challenge.decode()
    except UnicodeDecodeError:
        raise FormatError(
            "ENROL_FILE",
            f"{args.file} is not a challenge: it is no text",
            remedy="copy the file again from where it was made, byte for byte",
        ) from None
    result = ask(config_of(args), "enrol_answer", {"challenge": text}, TIMEOUT_S)
    write_new(args.output, result.pop("answer").encode())
    lines = [
        f"TPM      {_kind(result)}; it opened the challenge sha256:{result['challenge']}",
        f"request  sha256:{result['request']}: as `enroll request` printed it here, if it is whole",
        f"answer   {args.output}: take it to the enroller, `swt3-agent enroll accept`",
    ]
    tell(args.json, "answer", {"file": str(args.output), **result}, lines)
    return 0


def _kind(answer: dict[str, Any]) -> str:
    if answer["root_of_trust"] == "tpm":
        return "hardware, by its own word"
    return "SOFTWARE: the enroller has to allow it"


def _ek(key: dict[str, Any]) -> str:
    certificate = "with a certificate" if key["certified"] else "without a certificate"
    return f"({key['template']}, {certificate})"
