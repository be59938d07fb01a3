"""``swt3-agent keys``: which key signs here and which did before; have another one sign."""

import argparse
from collections.abc import Iterator
from typing import Any

from swt3_agent.cli.options import (
    add_action,
    add_config,
    add_json,
    add_reason,
    config_of,
    print_json,
)
from swt3_agent.cli.text import joined, show, utc_text
from swt3_agent.daemon.asking import ask, look
from swt3_agent.telemetry import configure_logging

TIMEOUT_S = 300.0
"""Deriving an RSA key takes some hardware half a minute."""

_SOFTWARE = "            made by a software TPM: no root of trust"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions and their options."""
    add_config(parser)
    add_json(parser)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_action(actions, "show", "print the key that signs, those before it, and the TPM's own keys")
    rotate = add_action(actions, "rotate", "sign with a new key, which the present one vouches for")
    rotate.add_argument(
        "--lost",
        action="store_true",
        help="the present key cannot be used any more: nothing vouches for the new one, and the"
        " node must be enrolled again",
    )
    add_reason(rotate)
    retire = add_action(actions, "retire", "say that an earlier key signs no more, and remove it")
    retire.add_argument(
        "key", metavar="NAME", help="its Name as `keys show` prints it, or 8 digits of its digest"
    )
    add_reason(retire)


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    configure_logging()
    config = config_of(args)
    if args.action == "show":
        view = look(config, "keys", {}, TIMEOUT_S)
        _tell(args, "keys", view, key_lines(view))
    elif args.action == "rotate":
        wanted = {"reason": args.reason, "lost": args.lost}
        done = ask(config, "keys_rotate", wanted, TIMEOUT_S)
        _tell(args, "keys-rotate", done, list(_rotated(done)))
    else:
        done = ask(config, "keys_retire", {"key": args.key, "reason": args.reason}, TIMEOUT_S)
        told = f"record {done['record']} retires the key {done['name']}; its blob is gone, and it"
        _tell(args, "keys-retire", done, [f"{told} can sign no more"])
    return 0


def _tell(args: argparse.Namespace, schema: str, answer: dict[str, Any], lines: list[str]) -> None:
    if args.json:
        print_json({"schema": f"swt3-agent/{schema}/1", **answer})
    else:
        show(joined(lines))


def key_lines(view: dict[str, Any]) -> list[str]:
    """``keys`` (docs/formats.md, "JSON") for a person: a label and a fact on each line."""
    lines = []
    if view["key"] is None:
        lines.append("key         none: no TPM has signed here yet")
    else:
        lines += _stated("key", view["key"])
    if lack := view["lack"]:
        lines.append(
            f"            {lack['code']} since {utc_text(lack['since'])}: {lack['detail']}"
        )
        lines.append(f"            remedy: {lack['remedy']}")
    if view["successor"] is not None:
        lines += _stated("successor", view["successor"])
        lines.append("            signs after the next head")
    lines += [line for key in view["endorsement_keys"] or [] for line in _endorsement(key)]
    if fault := view["endorsement_error"]:
        lines.append(f"EK          not to be had: {fault['code']}: {fault['detail']}")
    if not view["running"]:
        lines.append("TPM         not asked: no agent runs, and this is what the log says")
    if counter := view["counter"]:
        value = "no value yet" if counter["value"] is None else f"at {counter['value']}"
        lines.append(f"counter     NV index {counter['index']}, {value}")
    lines += [line for key in view["earlier"] for line in _earlier(key)]
    return lines


def _stated(label: str, key: dict[str, Any]) -> list[str]:
    lines = [
        f"{label:<12}{key['name']}",
        f"            {key['event']} in record {key['record']}, {utc_text(key['since'])}"
        + _why(key),
        f"            SPKI SHA-256 {key['spki_sha256']}",
    ]
    return [*lines, _SOFTWARE] if key["root_of_trust"] == "software-tpm" else lines


def _endorsement(key: dict[str, Any]) -> Iterator[str]:
    yield f"EK          {key['template']}, SPKI SHA-256 {key['spki_sha256']}"
    certificate = key["certificate"]
    if certificate is None:
        yield "            no certificate in the TPM"
    elif certificate["error"]:
        yield f"            {certificate['error']['code']}: {certificate['error']['detail']}"
    else:
        until = utc_text(certificate["not_after"])
        yield f"            certificate of {certificate['issuer']} for {certificate['subject']}"
        yield f"            until {until}, NV index {certificate['index']}, not checked here"
        if not certificate["of_this_key"]:
            yield "            the certificate is of another key"


def _earlier(key: dict[str, Any]) -> Iterator[str]:
    yield from _stated("earlier", key)
    for end in (key["ended"], key["retired"]):
        if end is not None:
            lost = f" ({end['lost']})" if end["lost"] else ""
            yield (
                f"            {end['event']}{lost} in record {end['record']},"
                f" {utc_text(end['time'])}" + _why(end)
            )
    if key["kept"]:
        yield "            its blob is kept until it is retired"


def _why(what: dict[str, Any]) -> str:
    if what["reason"] is None:
        return ""
    by = what["by"] or {}
    user = by.get("user") or by.get("uid")
    return f", by {user}: {what['reason']}" if user is not None else f": {what['reason']}"


def _rotated(done: dict[str, Any]) -> Iterator[str]:
    yield f"{done['event']}: {done['name']} signs from now on"
    yield f"SPKI SHA-256 {done['spki_sha256']}"
    if done["event"] == "replaced":
        yield "nothing vouches for it: enrol the node again (`swt3-agent enroll request`)"
    if done["root_of_trust"] == "software-tpm":
        yield "made by a software TPM: no root of trust"
    if not done["signed"]:
        yield "no head is signed with it yet: see `swt3-agent status`"
