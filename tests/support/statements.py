"""A record as a node would have it stated in in-toto's form."""

from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.stating import StatedRecord
from swt3_agent.tcg.public import parse_tpmt
from tests.support.forge import LOG_ID, NODE_ID, UTC_MS, ak_public, witness

AK_NAME = parse_tpmt(ak_public()).name().hex()
RECORD = StatedRecord(
    node_id=NODE_ID,
    log_id=LOG_ID,
    seq=7,
    payload=witness(
        procedure_id="AI-MDL.1",
        ai_model_id="llama",
        clearing_level=1,
        ai_context={"file_hash": "11" * 32},
    ),
    provenance={"verdict": "PASS", "reasons": [], "root_of_trust": "file-content"},
    evidence="22" * 32,
    files=("33" * 32,),
    level=1,
    ak_name=AK_NAME,
    signer=RootOfTrust.SOFTWARE_TPM,
    signed_ms=UTC_MS,
)
