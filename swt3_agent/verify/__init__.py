"""The offline verifier: needs no TPM, no agent and no network.

``verify_proof`` judges a proof file, ``verify_bundle`` a bundle; ``sign_trust`` is the enroller's
side of it, ``sign_receipts`` that of whoever takes a bundle over.

verifier      the checks of a proof, in their order; ``examination``: what they brought to light
  quote       the head's quote; ``anchoring``: whose word its key rests on
  content     what the record says
  earlier     the head before the record
  limits      what none of that proves
  report      what was found
bundle        the same for a bundle
challenge     the answer to a live challenge: ``answer`` its files, ``challenge_report`` the rest
dsse          an in-toto statement in its envelope

for all of these:
course        checks as they are made, and what remained in doubt
refusal       what to do about each code; ``moments``: times as people say them
references    boot state against reference values; ``roots``: which kind of TPM is enough
lineage       from the enrolled key to the one that signed, by each ``succession``
remembering   a report against the reader's ``memory`` of the log; ``recall``: the rule
explain       which ``chain`` of trust a report is the outcome of

enrolment     judging a node's request and answer; ``enroller`` signs trust files
importer      signs receipts, and reads them; ``private_key``: with which either signs
"""

from swt3_agent.verify.bundle.judge import verify_bundle
from swt3_agent.verify.bundle.records import RECORD_HEADER, RecordLine, record_lines
from swt3_agent.verify.bundle.report import BundleReport
from swt3_agent.verify.bundle.source import BundleSource
from swt3_agent.verify.challenge import verify_challenge
from swt3_agent.verify.challenge_report import ChallengeReport
from swt3_agent.verify.dsse import StatementReport, verify_statement
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
    "RECORD_HEADER",
    "BundleReport",
    "BundleSource",
    "ChallengeReport",
    "Check",
    "HeadInfo",
    "Outcome",
    "RecordInfo",
    "RecordLine",
    "Report",
    "StatementReport",
    "enroller_public_key",
    "importer_key",
    "importer_public_key",
    "read_receipts",
    "record_lines",
    "sign_receipts",
    "sign_trust",
    "verify_bundle",
    "verify_challenge",
    "verify_proof",
    "verify_statement",
]
