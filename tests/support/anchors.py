"""Inference anchors as a client would send them."""

import itertools
from typing import Any

from swt3_agent.protocol.fingerprint import mint_fingerprint

_clock = itertools.count(1_774_800_000_000)


def inference_anchor(tenant: str = "LOCAL", **changes: Any) -> dict[str, Any]:
    """One valid AI-INF.1 anchor at level 3; no two have the same fingerprint."""
    timestamp_ms = next(_clock)
    return {
        "procedure_id": "AI-INF.1",
        "factor_a": 1,
        "factor_b": 1,
        "factor_c": 0,
        "clearing_level": 3,
        "anchor_fingerprint": mint_fingerprint(tenant, "AI-INF.1", 1, 1, 0, timestamp_ms),
        "anchor_epoch": timestamp_ms // 1000,
        "fingerprint_timestamp_ms": timestamp_ms,
        **changes,
    }


def submission(count: int, batch: int, client: str = "test-client") -> dict[str, Any]:
    """A submit request with ``count`` anchors."""
    return submission_of(*(inference_anchor() for _ in range(count)), batch=batch, client=client)


def submission_of(
    *witnesses: dict[str, Any], batch: int, client: str = "test-client"
) -> dict[str, Any]:
    """A submit request with these."""
    return {
        "op": "submit",
        "id": f"request-{batch}",
        "client": client,
        "batch": batch,
        "witnesses": list(witnesses),
    }
