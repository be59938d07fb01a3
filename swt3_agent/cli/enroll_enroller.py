"""``enroll challenge`` and ``accept``: the enroller's steps, on a machine without TPM or agent."""

import argparse
import os
import time
from pathlib import Path
from typing import Any

from swt3_agent.cli.enroll_files import (
    PRIVATE,
    read_at_most,
    read_digests,
    read_key,
    tell,
    using_up,
    warn_if_open,
)
from swt3_agent.cli.enroll_text import tpm_text, trust_facts, trust_lines
from swt3_agent.cli.files import write_new
from swt3_agent.cli.text import utc_text
from swt3_agent.errors import UsageError
from swt3_agent.protocol.enrolment import MAX_ENROLMENT_FILE, file_digest
from swt3_agent.tcg.nv_public import NvPublic
from swt3_agent.verify.enrolment import (
    Accepted,
    Authorities,
    IssuedChallenge,
    Policy,
    UsedState,
    accept_answer,
    encode_state,
    issue_challenge,
    pending_state,
    read_authorities,
)
from swt3_agent.verify.enrolment.authorities import MAX_AUTHORITY_FILE
from swt3_agent.verify.enrolment.state import MAX_STATE

_SUFFIXES = frozenset({".pem", ".crt", ".cer", ".der"})


def challenge(args: argparse.Namespace) -> int:
    """Write the challenge, and the state that judges its answer."""
    policy = Policy(
        authorities=None if args.roots is None else _authorities(args.roots),
        allowed=None if args.ek is None else read_digests(args.ek),
        allow_software_tpm=args.allow_software_tpm,
    )
    data = read_at_most(args.file, MAX_ENROLMENT_FILE)
    issued = issue_challenge(data, policy, _now_ms())
    write_new(args.state, encode_state(issued.state), PRIVATE, allow_special=False)
    try:
        write_new(args.output, issued.challenge)
    except BaseException:
        args.state.unlink(missing_ok=True)  # nobody can answer what was not written
        raise
    facts = _challenge_facts(issued) | {"file": str(args.output), "state": str(args.state)}
    tell(args.json, "challenge", facts, _challenge_lines(args, issued))
    return 0


def accept(args: argparse.Namespace) -> int:
    """Write the trust file, if the answer shows that the AK lives in the TPM of the EK."""
    pending = read_at_most(args.state, MAX_STATE)
    state = pending_state(pending)
    warn_if_open(args.state)
    answer = read_at_most(args.file, MAX_ENROLMENT_FILE)
    now_ms = _now_ms()
    accepted = accept_answer(
        answer,
        state,
        read_key(args.key),
        name=args.name,
        valid_days=args.valid_days,
        now_ms=now_ms,
        allow_software_tpm=args.allow_software_tpm,
    )
    used = UsedState(challenge=state.challenge, answer=file_digest(answer), used_ms=now_ms)
    with using_up(args.state, pending, lambda: encode_state(used)):
        write_new(args.output, accepted.trust)
    facts = {"file": str(args.output), **trust_facts(accepted.statement)}
    tell(args.json, "accept", facts, _accept_lines(args, accepted))
    return 0


def _authorities(directory: Path) -> Authorities:
    try:
        paths = [
            Path(where, name)
            for where, _, names in os.walk(directory, onerror=_stop_walking)
            for name in names
            if Path(name).suffix.lower() in _SUFFIXES
        ]
    except OSError as error:
        raise UsageError(
            "ROOTS_UNREADABLE",
            f"{error.filename} cannot be read: {error.strerror}",
            remedy="name a directory with certificates of TPM vendors that is readable throughout",
        ) from error
    if not paths:
        raise UsageError(
            "ROOTS_UNREADABLE",
            f"{directory} is no directory with files that end in .pem, .crt, .cer or .der",
            remedy="put the certificates of your TPMs' vendors there",
        )
    return read_authorities(
        {
            str(path.relative_to(directory)): read_at_most(path, MAX_AUTHORITY_FILE)
            for path in sorted(paths)
            if path.is_file()
        }
    )


def _stop_walking(error: OSError) -> None:
    """Rather than pass over what cannot be read: TPMs would be refused for no visible reason."""
    raise error


def _challenge_facts(issued: IssuedChallenge) -> dict[str, Any]:
    request, endorsement = issued.checked.request, issued.endorsement
    certified = endorsement.certified
    return {
        "request": issued.checked.digest,
        "challenge": issued.state.challenge,
        "node_id": request.node_id,
        "log_id": request.log_id,
        "head_time_ms": issued.checked.note.utc_ms,
        "counter": issued.checked.counter is not None,
        "hostname": request.machine.hostname,
        "ak_name": issued.checked.ak.name().hex(),
        "tpm": endorsement.tpm.value,
        "ek_template": endorsement.template,
        "ek_sha256": endorsement.spki_sha256.hex(),
        "ek_certified": certified is not None,
        "ek_root": certified and certified.root,
        "ek_root_sha256": certified and certified.root_sha256.hex(),
    }


def _challenge_lines(args: argparse.Namespace, issued: IssuedChallenge) -> list[str]:
    request, endorsement = issued.checked.request, issued.endorsement
    certified = endorsement.certified
    how = (
        "pinned by you: no certificate says that it is a TPM's"
        if certified is None
        else f"certified under {certified.root}, sha256:{certified.root_sha256.hex()}"
    )
    machine = f"{request.machine.hostname or '?'}, {request.machine.product or '?'}"
    return [
        f"request    sha256:{issued.checked.digest}: as the node's own screen shows it",
        f"node       {request.node_id} ({machine}: its own word)",
        f"log        {request.log_id}, {issued.checked.note.size} records",
        f"head       of {utc_text(issued.checked.note.utc_ms)} by the node's clock",
        f"counter    {_counter_text(issued.checked.counter)}",
        f"TPM        {tpm_text(endorsement.tpm)}",
        f"EK         sha256:{endorsement.spki_sha256.hex()} ({endorsement.template})",
        f"           {how}",
        f"challenge  {args.output}: take it to the node, `swt3-agent enroll answer`",
        f"state      {args.state}: stays here, private to you",
    ]


def _counter_text(counter: NvPublic | None) -> str:
    if counter is None:
        return "none: no verifier will ask this log for one"
    return f"NV index {counter.index:08x}, certified"


def _accept_lines(args: argparse.Namespace, accepted: Accepted) -> list[str]:
    return [
        *trust_lines(accepted.statement),
        f"trust    {args.output}: give it to those who verify, `swt3-agent verify --trust`",
    ]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
