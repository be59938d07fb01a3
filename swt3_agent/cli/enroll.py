"""``swt3-agent enroll``: how a node's key comes to be trusted, over an air gap if there is one.

``request`` and ``answer`` ask the agent on the node. All others are the enroller's, on a machine of
his own: they need neither agent, TPM nor configuration, and only the extra `verify`.
"""

import argparse
import importlib
import re
from pathlib import Path

from swt3_agent.errors import MissingExtraError

MAX_DAYS = 3650

_NODE = "swt3_agent.cli.enroll_node"
_ENROLLER = "swt3_agent.cli.enroll_enroller"
_KEYS = "swt3_agent.cli.enroll_keys"
_WHERE = {  # imported only when asked for: the enroller's machine lacks what the node's side needs
    "request": _NODE,
    "answer": _NODE,
    "challenge": _ENROLLER,
    "accept": _ENROLLER,
    "keygen": _KEYS,
    "revoke": _KEYS,
    "renew": _KEYS,
    "show": "swt3_agent.cli.enroll_show",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The steps and their options."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    steps = parser.add_subparsers(dest="action", required=True, metavar="STEP")

    def step(name: str, summary: str) -> argparse.ArgumentParser:
        added = steps.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        added.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON"
        )
        return added

    request = step("request", "1, on the node: say who it is, with its TPM's public keys")
    _add_config(request)
    _add_output(request, "REQUEST")

    challenge = step("challenge", "2, the enroller: judge a request and challenge its TPM")
    challenge.add_argument("file", type=Path, metavar="REQUEST")
    challenge.add_argument(
        "--roots",
        type=Path,
        metavar="DIR",
        help="certificates of TPM vendors: self-signed ones are trusted, others lead there",
    )
    challenge.add_argument(
        "--ek",
        action="append",
        metavar="sha256:HEX|FILE",
        help="allow this EK (digest of its SubjectPublicKeyInfo), or those in FILE, one a line;"
        " without --roots no certificate is asked for",
    )
    challenge.add_argument(
        "--state", type=Path, required=True, metavar="FILE", help="your own, for `accept`: secret"
    )
    _add_software(challenge)
    _add_output(challenge, "CHALLENGE")

    answer = step("answer", "3, on the node: have its TPM open the challenge")
    answer.add_argument("file", type=Path, metavar="CHALLENGE")
    _add_config(answer)
    _add_output(answer, "ANSWER")

    accept = step("accept", "4, the enroller: judge the answer and sign the trust file")
    accept.add_argument("file", type=Path, metavar="ANSWER")
    accept.add_argument(
        "--state", type=Path, required=True, metavar="FILE", help="what `challenge` wrote; used up"
    )
    _add_key(accept)
    accept.add_argument(
        "--name", type=_name, required=True, help="yours, as every verifier will show it"
    )
    _add_days(accept)
    _add_software(accept)
    _add_output(accept, "TRUST")

    keygen = step("keygen", "make an enroller's key")
    _add_output(keygen, "PEM")

    revoke = step("revoke", "write a trust file again, as revoked")
    revoke.add_argument("file", type=Path, metavar="TRUST")
    revoke.add_argument(
        "--at", type=_milliseconds, metavar="MS", help="UTC milliseconds since 1970 (now)"
    )
    renew = step("renew", "write a trust file again, valid for longer")
    renew.add_argument("file", type=Path, metavar="TRUST")
    _add_days(renew)
    for again in (revoke, renew):
        _add_key(again)
        _add_output(again, "TRUST")

    show = step("show", "print what any of these files says, without judging it")
    show.add_argument("file", type=Path, metavar="FILE")


def run(args: argparse.Namespace) -> int:
    """Do the step that was asked for."""
    name = _WHERE[args.action]
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("swt3_agent"):
            raise
        extra = "agent" if name == _NODE else "verify"
        raise MissingExtraError(
            "MISSING_EXTRA",
            f"`swt3-agent enroll {args.action}` needs the Python module {error.name!r}",
            remedy=f"pip install 'swt3-agent[{extra}]'",
        ) from error
    code: int = getattr(module, args.action)(args)
    return code


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="agent.yaml to read (default: /etc/swt3-agent/agent.yaml where it exists)",
    )


def _add_output(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar=what,
        help="file to write; it must not be there yet",
    )


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key", type=Path, required=True, metavar="PEM", help="the enroller's private key"
    )


def _add_days(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--valid-days", type=_days, default=365, metavar="N", help="from now on (365)"
    )


def _add_software(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-software-tpm",
        action="store_true",
        help="enrol a software TPM too, which is no root of trust; every report will say so",
    )


def _name(text: str) -> str:
    if not re.fullmatch("[!-*,-~]{1,128}", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not 1 to 128 characters of printable ASCII without space or plus"
        )
    return text


def _days(text: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", text) or not 0 < int(text) <= MAX_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, 1 to {MAX_DAYS}")
    return int(text)


def _milliseconds(text: str) -> int:
    if not re.fullmatch("[0-9]{1,15}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in milliseconds")
    return int(text)
