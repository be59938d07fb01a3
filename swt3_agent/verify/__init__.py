"""The offline verifier: needs no TPM, no agent and no network.

``verify_proof`` judges a proof file, ``verify_bundle`` a bundle; ``sign_trust`` is the enroller's
side of it, ``sign_receipts`` that of whoever takes a bundle over.
"""

from swt3_agent.verify.bundle.judge import verify_bundle
from swt3_agent.verify.bundle.report import BundleReport
from swt3_agent.verify.bundle.source import BundleSource
from swt3_agent.verify.enroller import enroller_public_key, sign_trust
from swt3_agent.verify.importer import (
    importer_key,
    importer_public_key,
    read_receipts,
    sign_receipts,
)
from swt3_agent.verify.report import Check, HeadInfo, Outcome, RecordInfo, Report
from swt3_agent.verify.verifier import verify_proof

__all__ = [
    "BundleReport",
    "BundleSource",
    "Check",
    "HeadInfo",
    "Outcome",
    "RecordInfo",
    "Report",
    "enroller_public_key",
    "importer_key",
    "importer_public_key",
    "read_receipts",
    "sign_receipts",
    "sign_trust",
    "verify_bundle",
    "verify_proof",
]
