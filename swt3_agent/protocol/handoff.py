"""Factor handoff files: what clearing removed, one record a file (docs/formats.md, "Handoff file").

The keys of the published handoff stay as they are, so that existing verifiers read these files;
ours stand beside them. The file carries the bytes as they came and the secret of the record's
commitment: with a proof of the record, whoever holds it can show that they belong together.
"""

import base64
import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from hashlib import sha256

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.clearing import OPERATIONAL_FIELDS
from swt3_agent.protocol.custody import commitment
from swt3_agent.protocol.fingerprint import preimage_head, python_number

HANDOFF_VERSION = "1.0.0"

_FINGERPRINT = re.compile("[0-9a-f]{12}")
_ACCESS = ("access_target", "access_scope", "access_granted")
_LATEST_SECOND = 253_402_300_799  # of the year 9999, the last that the time format can say

Json = Mapping[str, object]


def handoff(
    tenant: str, secret: bytes, original: bytes, record_digest: bytes, level: int
) -> dict[str, object]:
    """The content of a handoff file for one record.

    ``original`` are the bytes before clearing, ``record_digest`` the SHA-256 of those that the
    journal keeps, ``level`` the clearing level that held. Members that the record does not say are
    null: all of them where it is an opaque one, of which only the envelope speaks.
    """
    fields = _object(original)
    context = _context(fields.get("ai_context"))
    return {
        "handoff_version": HANDOFF_VERSION,
        "handoff_type": f"clearing_level_{fields.get('clearing_level', level)}",
        "tenant_id": tenant,
        "agent_id": fields.get("agent_id"),
        "timestamp_iso": _time(fields.get("anchor_epoch")),
        "anchor_fingerprint": fields.get("anchor_fingerprint"),
        "anchor_epoch": fields.get("anchor_epoch"),
        "fingerprint_timestamp_ms": fields.get("fingerprint_timestamp_ms"),
        "clearing_level": fields.get("clearing_level"),
        "factors": {
            name: fields.get(name) for name in ("procedure_id", "factor_a", "factor_b", "factor_c")
        },
        "metadata": _metadata(fields, context),
        "record_digest": record_digest.hex(),
        "fingerprint_full": _full_digest(tenant, fields),
        "access": {name: context[name] for name in _ACCESS if name in context},
        "context": fields.get("ai_context"),
        "operational": {name: fields[name] for name in OPERATIONAL_FIELDS if name in fields},
        "envelope": {
            "applied_level": level,
            "commitment": commitment(secret, original),
            "secret": secret.hex(),
            "original": base64.b64encode(original).decode(),
        },
    }


def encode_handoff(content: Json) -> bytes:
    """As the published handoff is written: two spaces deep, UTF-8, a newline at the end."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def handoff_names(content: Json) -> tuple[str, ...]:
    """What the file may be called, best first: fingerprints, and digests of records, may repeat."""
    envelope = content["envelope"]
    assert isinstance(envelope, Mapping)  # noqa: S101  handoff() made it
    fingerprint = str(content["anchor_fingerprint"])
    if not _FINGERPRINT.fullmatch(fingerprint):
        fingerprint = "unidentified"
    digest = str(content["record_digest"])[:16]
    return (
        f"{fingerprint}.json",
        f"{fingerprint}-{digest}.json",
        f"{fingerprint}-{digest}-{str(envelope['commitment'])[:16]}.json",
    )


def _metadata(fields: Json, context: Json) -> dict[str, object]:
    guardrails = context.get("guardrails")
    names = guardrails if isinstance(guardrails, list) else []
    a, b, c = (
        (fields.get("factor_a"), fields.get("factor_b"), fields.get("factor_c"))
        if fields.get("procedure_id") == "AI-GRD.1"
        else (None, None, None)
    )
    return {
        "ai_model_id": fields.get("ai_model_id"),
        "ai_model_hash": context.get("model_hash"),
        "ai_prompt_hash": fields.get("ai_prompt_hash"),
        "ai_response_hash": fields.get("ai_response_hash"),
        "ai_latency_ms": fields.get("ai_latency_ms"),
        "ai_input_tokens": fields.get("ai_input_tokens"),
        "ai_output_tokens": fields.get("ai_output_tokens"),
        "ai_provider": context.get("provider"),
        "ai_system_fingerprint": context.get("system_fingerprint"),
        "ai_guardrail_names": names,
        "ai_guardrails_active": b,
        "ai_guardrails_required": a,
        "ai_guardrail_passed": c,
        "ai_tool_name": context.get("tool_name"),
        "ai_tool_call_id": context.get("tool_call_id"),
    }


def _context(value: object) -> Json:
    """The context as an object, where it is one or a text that holds one."""
    if isinstance(value, str):
        return _object(value.encode(errors="replace"))
    return value if isinstance(value, dict) else {}


def _object(data: bytes) -> Json:
    """The JSON object that ``data`` is; an empty one where it is anything else."""
    try:
        value = strict_json.loads(data, max_bytes=len(data))
    except FormatError:
        return {}
    return value if isinstance(value, dict) else {}


def _time(epoch: object) -> str | None:
    if not isinstance(epoch, int) or not 0 <= epoch <= _LATEST_SECOND:
        return None
    return datetime.fromtimestamp(epoch, timezone.utc).isoformat()


def _full_digest(tenant: str, fields: Json) -> str | None:
    """All 64 digits of the hash that the fingerprint begins; None where they do not follow."""
    procedure, stamp = fields.get("procedure_id"), fields.get("fingerprint_timestamp_ms")
    if not isinstance(procedure, str) or type(stamp) is not int:
        return None
    try:
        numbers = [_number(fields.get(name)) for name in ("factor_a", "factor_b", "factor_c")]
        head = preimage_head(tenant, procedure)
    except FormatError:
        return None
    digest = sha256(f"{head}{':'.join(numbers)}:{stamp}".encode()).hexdigest()
    return digest if digest.startswith(str(fields.get("anchor_fingerprint"))) else None


def _number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FormatError("BAD_FIELD", "a factor is no number", remedy="see docs/protocol.md 1.3")
    return python_number(value)
