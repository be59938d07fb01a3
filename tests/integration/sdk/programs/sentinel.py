"""Everything that the public SDK's SentinelClient can do, done once: socket, tenant."""

import json
import sys
import time
from typing import Any

from swt3_ai.fingerprint import mint_fingerprint
from swt3_ai.sentinel_client import SentinelClient

PATIENCE_S = 20.0


def eventually(attempt: Any) -> Any:
    """A machine that does much else may pass the 10 and 50 ms of the SDK."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := attempt()):
        assert time.monotonic() < deadline
    return found


def repeated(operation: Any, *arguments: Any) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return operation(*arguments)
        except RuntimeError as error:
            if "the answer is due" not in str(error) or time.monotonic() > deadline:
                raise


def refused(operation: Any, *arguments: Any) -> str:
    try:
        operation(*arguments)
    except RuntimeError as error:
        return str(error)
    return ""


def main(path: str, tenant: str) -> None:
    eventually(lambda: SentinelClient.detect(path)).destroy()
    client = SentinelClient(path, timeout=PATIENCE_S)
    client.connect()
    stamp = time.time_ns() // 1_000_000
    fingerprint = mint_fingerprint(tenant, "AI-INF.1", 1, 1, 0, stamp)
    payload = {
        "procedure_id": "AI-INF.1",
        "factor_a": 1,
        "factor_b": 1,
        "factor_c": 0,
        "clearing_level": 3,
        "anchor_fingerprint": fingerprint,
        "anchor_epoch": stamp // 1000,
        "fingerprint_timestamp_ms": stamp,
    }
    allowed, blocked = client.check("read_file"), client.check("rm_rf")
    said = {
        "allowed": allowed.allowed,
        "free": allowed.violation is None,
        "blocked": not blocked.allowed,
        "rule": blocked.violation.rule,
        "tool": blocked.violation.tool,
        "action": blocked.violation.action,
        "reason": blocked.violation.reason,
        "timestamp": blocked.violation.timestamp,
        "payload": payload,
        "recorded": repeated(client.record, fingerprint, json.dumps(payload)),
        "opaque": repeated(client.record, fingerprint, "no JSON at all"),
        "mismatch": refused(client.record, "000000000000", json.dumps(payload)),
        "fingerprint": fingerprint,
        "signature": client.sign(fingerprint, "inference-7"),
        "unnamed": client.sign(fingerprint),
        "stranger": refused(client.sign, fingerprint, "somebody-else"),
        "prompt": refused(client.sign, "What is the meaning of life?"),
        "tokens": [client.record_tokens(count) for count in (600, 400)],
        "flushed": repeated(client.flush),
        "status": client.status(),
        "exhausted": client.check("read_file").violation.rule,
        "connected": client.connected,
    }
    client.destroy()
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
