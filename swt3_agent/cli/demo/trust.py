"""The demo as its own enroller: it vouches for the key of the TPM that it just started.

On a real node somebody else does this, after a credential activation against the TPM's EK
certificate. The verifier prints whom it trusted, so the difference is never hidden.
"""

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swt3_agent.protocol.proof import decode_proof
from swt3_agent.protocol.trust import TpmKind, TrustStatement
from swt3_agent.verify import enroller_public_key, sign_trust

VALIDITY_MS = 24 * 3600 * 1000


def vouch(proof: Path, status: dict[str, Any], file: Path, now_ms: int) -> str | None:
    """Write a trust file for the node that ``proof`` speaks of; None where no key signs there."""
    proven = decode_proof(proof.read_bytes())
    if proven.quote is None:
        return None
    key = Ed25519PrivateKey.generate()
    statement = TrustStatement(
        enroller="this-demo",
        enroller_key=enroller_public_key(key),
        node_id=proven.node_id,
        log_id=proven.log_id,
        ak_public=proven.quote.ak_public,
        tpm=TpmKind.HARDWARE if status["tpm"]["kind"] == "tpm" else TpmKind.SOFTWARE,
        log_pcr=proven.quote.log_pcr,
        valid_from_ms=now_ms - VALIDITY_MS,
        valid_until_ms=now_ms + VALIDITY_MS,
    )
    file.write_bytes(sign_trust(statement.body(), key))
    return statement.enroller
