"""``enroll show``: what a file of an enrolment says. Only of a trust file is the signature checked:
everything else is judged by the step that takes it."""

import argparse
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from swt3_agent.cli.enroll_files import read_at_most, tell
from swt3_agent.cli.enroll_text import trust_facts, trust_lines
from swt3_agent.cli.text import utc_text
from swt3_agent.errors import FormatError
from swt3_agent.protocol.checkpoint import parse_signed_note
from swt3_agent.protocol.enrolment import (
    ANSWER_FORMAT,
    CHALLENGE_FORMAT,
    REQUEST_FORMAT,
    Answer,
    Challenge,
    EnrolmentKey,
    Request,
    decode_file,
    file_digest,
)
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.tcg.public import parse_key, parse_tpmt
from swt3_agent.verify.anchoring import read_trust
from swt3_agent.verify.enrolment.certificate import CertificateFacts, certificate_facts
from swt3_agent.verify.enrolment.state import MAX_STATE, STATE_FORMAT, USED_FORMAT, pending_state

Shown = tuple[dict[str, Any], list[str]]


def show(args: argparse.Namespace) -> int:
    """Print it."""
    data = read_at_most(args.file, MAX_STATE)
    facts, lines = _shown(data)
    digest = file_digest(data)
    tell(args.json, "show", {"sha256": digest, **facts}, [*lines, f"file       sha256:{digest}"])
    return 0


def _shown(data: bytes) -> Shown:
    match _format(data):
        case str(name) if name == REQUEST_FORMAT:
            return _request(decode_file(data, Request))
        case str(name) if name == CHALLENGE_FORMAT:
            return _challenge(decode_file(data, Challenge))
        case str(name) if name == ANSWER_FORMAT:
            return _answer(decode_file(data, Answer))
        case str(name) if name in (STATE_FORMAT, USED_FORMAT):
            return _state(data)
    return _trust(data)


def _format(data: bytes) -> object:
    """What a JSON file says that it is."""
    if not data.startswith(b"{"):
        return None
    try:
        return msgspec.json.decode(data, type=dict[str, object]).get("format")
    except MALFORMED:
        raise FormatError(
            "ENROL_FILE",
            "the file is damaged: it begins as JSON and is none",
            remedy="copy the file again from where it was made, byte for byte",
        ) from None


def _request(request: Request) -> Shown:
    note = parse_signed_note(request.head.checkpoint.encode()).note
    ak_name = parse_tpmt(request.ak_public).name().hex()
    keys = [_key(key) for key in request.endorsement_keys]
    facts = {
        "format": request.format,
        "node_id": request.node_id,
        "log_id": request.log_id,
        "agent": request.agent,
        "time_ms": request.time_ms,
        "hostname": request.machine.hostname,
        "product": request.machine.product,
        "tpm": msgspec.structs.asdict(request.tpm),
        "ak_name": ak_name,
        "endorsement_keys": [facts for facts, _ in keys],
        "size": note.size,
        "counter": request.counter is not None,
    }
    tpm = request.tpm
    lines = [
        "request    not judged: all of it is the node's word",
        f"node       {request.node_id}, log {request.log_id}, agent {request.agent}",
        f"machine    {request.machine.hostname or '?'}, {request.machine.product or '?'}",
        f"made       {utc_text(request.time_ms)}, at {note.size} records",
        f"TPM        {tpm.kind}, {tpm.manufacturer} {tpm.vendor}, firmware {tpm.firmware}",
        f"AK         {ak_name}",
        *(line for _, shown in keys for line in shown),
        f"counter    {'certified' if request.counter else 'none'}",
    ]
    return facts, lines


def _key(key: EnrolmentKey) -> Shown:
    digest = sha256(parse_key(key.public).spki_der()).hexdigest()
    facts: dict[str, Any] = {"template": key.template, "sha256": digest, "certificate": None}
    lines = [f"EK         sha256:{digest} ({key.template})"]
    if key.certificate is None:
        return facts, [*lines, "           no certificate"]
    found = certificate_facts(key.certificate)
    facts["certificate"] = {
        "issuer": found.issuer,
        "issuer_urls": list(found.issuer_urls),
        "not_after": _day(found.not_after),
        "manufacturer": found.manufacturer,
        "model": found.model,
    }
    return facts, [*lines, *_certificate_lines(found)]


def _certificate_lines(found: CertificateFacts) -> list[str]:
    return [
        f"           certificate by {found.issuer}, until {_day(found.not_after)}",
        f"           for a TPM of {found.manufacturer or '?'}, {found.model or '?'}",
        *(f"           the issuer's own: {url}" for url in found.issuer_urls),
    ]


def _day(time: datetime) -> str:
    return f"{time:%Y-%m-%d}"


def _challenge(challenge: Challenge) -> Shown:
    facts = {
        "format": challenge.format,
        "request": challenge.request,
        "node_id": challenge.node_id,
        "ak_name": challenge.ak_name,
        "template": challenge.template,
        "ek_sha256": challenge.ek,
        "time_ms": challenge.time_ms,
    }
    return facts, [
        f"challenge  of {utc_text(challenge.time_ms)}, for node {challenge.node_id}",
        f"request    sha256:{challenge.request}",
        f"AK         {challenge.ak_name}",
        f"EK         sha256:{challenge.ek} ({challenge.template})",
    ]


def _answer(answer: Answer) -> Shown:
    facts = {
        "format": answer.format,
        "request": answer.request,
        "challenge": answer.challenge,
        "ak_name": answer.ak_name,
    }
    return facts, [
        "answer     not judged: `swt3-agent enroll accept` does",
        f"request    sha256:{answer.request}",
        f"challenge  sha256:{answer.challenge}",
        f"AK         {answer.ak_name}",
    ]


def _state(data: bytes) -> Shown:
    """Whether it waits; never its secret. Raises as ``pending_state``, for a used one too."""
    state = pending_state(data)
    facts = {
        "format": STATE_FORMAT,
        "challenge": state.challenge,
        "ek_sha256": state.ek,
        "time_ms": state.time_ms,
        "tpm": state.tpm,
    }
    return facts, [
        f"state      of the challenge sha256:{state.challenge}, which waits for its answer",
        f"made       {utc_text(state.time_ms)}",
        f"EK         sha256:{state.ek}, {state.tpm} TPM",
        "           private: whoever has this file can answer the challenge",
    ]


def _trust(data: bytes) -> Shown:
    statement = read_trust(data).statement
    key = sha256(statement.enroller_key).hexdigest()
    facts = {"format": "swt3-agent/trust", "key_sha256": key, **trust_facts(statement)}
    signer = f"enroller {statement.enroller}, who signed with the key sha256:{key}"
    return facts, [signer, *trust_lines(statement)]
