"""``enroll keygen``, ``revoke`` and ``renew``: the enroller's key, and trust files once more."""

import argparse
import time
from hashlib import sha256

from swt3_agent.cli.enroll_files import PRIVATE, read_at_most, read_key, tell
from swt3_agent.cli.files import write_new
from swt3_agent.cli.text import utc_text
from swt3_agent.protocol.note import MAX_NOTE
from swt3_agent.verify.anchoring import read_trust
from swt3_agent.verify.enroller import enroller_key, enroller_public_key, generate_enroller_key
from swt3_agent.verify.enrolment import reissue


def keygen(args: argparse.Namespace) -> int:
    """Write a new private key that only its owner can read."""
    pem = generate_enroller_key()
    write_new(args.output, pem, PRIVATE)
    digest = sha256(enroller_public_key(enroller_key(pem))).hexdigest()
    facts = {"file": str(args.output), "key_sha256": digest}
    lines = [
        f"private  {args.output}: keep it off the nodes",
        f"key      sha256:{digest}: tell verifiers this digest yourself, every report shows it",
    ]
    tell(args.json, "keygen", facts, lines)
    return 0


def revoke(args: argparse.Namespace) -> int:
    """Write the trust file with a revocation."""
    at_ms = time.time_ns() // 1_000_000 if args.at is None else args.at
    data = reissue.revoke(read_at_most(args.file, MAX_NOTE), read_key(args.key), at_ms=at_ms)
    _write_again(args, data)
    return 0


def renew(args: argparse.Namespace) -> int:
    """Write the trust file with a later end."""
    now_ms = time.time_ns() // 1_000_000
    trust, key = read_at_most(args.file, MAX_NOTE), read_key(args.key)
    data = reissue.renew(trust, key, valid_days=args.valid_days, now_ms=now_ms)
    _write_again(args, data)
    return 0


def _write_again(args: argparse.Namespace, data: bytes) -> None:
    write_new(args.output, data)
    statement = read_trust(data).statement
    facts = {
        "file": str(args.output),
        "node_id": statement.node_id,
        "log_id": statement.log_id,
        "valid_until_ms": statement.valid_until_ms,
        "revoked_ms": statement.revoked_ms,
    }
    revoked = statement.revoked_ms
    lines = [
        f"node     {statement.node_id}, log {statement.log_id}",
        f"until    {utc_text(statement.valid_until_ms)}"
        + ("" if revoked is None else f", revoked as of {utc_text(revoked)}"),
        f"trust    {args.output}: give it to everybody who has the one before",
    ]
    tell(args.json, args.action, facts, lines)
