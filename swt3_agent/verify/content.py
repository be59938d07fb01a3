"""What a record's content says for itself, and whether its SWT3 fingerprint recomputes."""

from collections.abc import Mapping

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.fingerprint import match_fingerprint
from swt3_agent.protocol.payload import decode_witness
from swt3_agent.protocol.proof import Proof, Salted
from swt3_agent.protocol.record import MAX_BODY
from swt3_agent.verify.refusal import refusal


def payload_json(proof: Proof) -> object:
    """The payload as JSON, or None where it is something else."""
    return _json_or_none(proof.record.payload.content)


def provenance_json(proof: Proof) -> Mapping[str, object] | None:
    """The provenance, or None where it is withheld. What is no JSON object is shown as empty."""
    provenance = proof.record.provenance
    if not isinstance(provenance, Salted):
        return None
    tree = _json_or_none(provenance.content)
    return tree if isinstance(tree, dict) else {}


def check_fingerprint(proof: Proof) -> tuple[bool, str]:
    """Whether a fingerprint was recomputed, and a sentence that says how or why not.

    Raises FormatError ``FINGERPRINT_MISMATCH`` where a witness payload does not have the
    fingerprint it claims, ``TENANT_MISMATCH`` where the proof's tenant is not the record's.
    """
    payload = payload_json(proof)
    if not isinstance(payload, dict) or "anchor_fingerprint" not in payload:
        return False, "the payload is no witness record"
    provenance = provenance_json(proof) or {}
    if "code" in provenance:
        return False, f"the agent refused this payload with {str(provenance['code'])[:40]!a}"
    return recompute_fingerprint(
        proof.record.payload.content, provenance.get("tenant"), proof.tenant
    )


def recompute_fingerprint(payload: bytes, recorded: object, named: str | None) -> tuple[bool, str]:
    """Whether the witness ``payload`` has its fingerprint, and a sentence on it.

    ``recorded`` is the tenant in its provenance, ``named`` the one that its file names. Raises as
    ``check_fingerprint``.
    """
    try:
        witness = decode_witness(payload)
    except FormatError as error:
        return False, f"the payload is no valid witness record: {error.message}"
    if None not in (recorded, named) and recorded != named:
        raise refusal("TENANT_MISMATCH", "the file names another tenant than the record")
    tenant = recorded if isinstance(recorded, str) else named
    if tenant is None:
        return False, "the tenant that it is minted for is not disclosed"
    claimed = witness.anchor_fingerprint
    rendering = match_fingerprint(
        tenant,
        witness.procedure_id,
        witness.factor_a,
        witness.factor_b,
        witness.factor_c,
        witness.fingerprint_timestamp_ms,
        claimed,
    )
    if rendering is None:
        raise refusal(
            "FINGERPRINT_MISMATCH",
            f"the factors do not give the fingerprint {claimed} under tenant {tenant[:64]!a}",
        )
    return True, f"{claimed} recomputes for tenant {tenant[:64]!a} ({rendering.value} rendering)"


def _json_or_none(data: bytes) -> object:
    try:
        return strict_json.loads(data, max_bytes=MAX_BODY)
    except FormatError:
        return None
