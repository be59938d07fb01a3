"""The ledger's answer to a batch, given by the agent itself (docs/protocol.md 5.1)."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timezone

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.anchor import mint_token
from swt3_agent.protocol.payload import decode_witness
from swt3_agent.protocol.procedures import judge
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.relay.answers import Rejection
from swt3_agent.relay.sink import Draft

Receipt = dict[str, object]

PENDING = "PENDING"
"""The verdict on a procedure that the agent has no rule for: whoever has one may judge it."""


_LONGEST_NAME = 64  # characters of a procedure id: a refused record may hold anything there


class _Named(msgspec.Struct):
    procedure_id: str = ""


_decode_name = msgspec.json.Decoder(_Named).decode


def receipts(
    payloads: Sequence[bytes],
    accepted: Sequence[Draft],
    rejections: Sequence[Rejection],
    tenant: str,
    now_s: float,
) -> Iterator[Receipt]:
    """One for each of ``payloads``, in their order: a receipt is matched by its place.

    ``accepted`` are the records stored for those that are not among ``rejections``.
    """
    witnessed_at = datetime.fromtimestamp(now_s, timezone.utc).isoformat(timespec="milliseconds")
    refused = {rejection.index: rejection for rejection in rejections}
    stored = iter(accepted)
    for index, payload in enumerate(payloads):
        rejection = refused.get(index)
        if rejection is not None:
            yield _refusal(payload, rejection, tenant)
        else:
            _, _, kept = next(stored)
            yield _receipt(kept, tenant, witnessed_at)


def _receipt(payload: bytes, tenant: str, witnessed_at: str) -> Receipt:
    witness = decode_witness(payload)
    factors = (witness.factor_a, witness.factor_b, witness.factor_c)
    verdict = judge(witness.procedure_id, *factors)
    token = ""
    if verdict is not None:
        with suppress(FormatError):  # a name that no token can carry
            token = mint_token(
                witness.procedure_id, verdict, witness.anchor_epoch, witness.anchor_fingerprint
            )
    return {
        "procedure_id": witness.procedure_id,
        "verdict": PENDING if verdict is None else verdict.value,
        "swt3_anchor": token,
        "clearing_level": witness.clearing_level,
        "witnessed_at": witnessed_at,
        "verification_url": f"swt3-agent://record/{hashlib.sha256(payload).hexdigest()}",
        "ok": True,
        "tenant_id": tenant,
    }


def _refusal(payload: bytes, rejection: Rejection, tenant: str) -> Receipt:
    try:
        procedure = _decode_name(payload).procedure_id[:_LONGEST_NAME]
    except MALFORMED:
        procedure = ""
    return {
        "procedure_id": procedure,
        "verdict": "UNKNOWN",
        "swt3_anchor": "",
        "clearing_level": 0,
        "witnessed_at": "",
        "verification_url": "",
        "ok": False,
        "error": f"{rejection.code}: {rejection.error}",
        "tenant_id": tenant,
    }
