"""The offline verifier: needs no TPM, no agent and no network.

``verify_proof`` judges a proof file; ``sign_trust`` is the enroller's side of it.
"""

from swt3_agent.verify.enroller import enroller_public_key, sign_trust
from swt3_agent.verify.report import Check, HeadInfo, Outcome, RecordInfo, Report
from swt3_agent.verify.verifier import verify_proof

__all__ = [
    "Check",
    "HeadInfo",
    "Outcome",
    "RecordInfo",
    "Report",
    "enroller_public_key",
    "sign_trust",
    "verify_proof",
]
