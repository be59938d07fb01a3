"""AI-LOG.1: what had to be witnessed against what was (docs/protocol.md 8.1, 13).

Factors: a = required procedures that are due, b = those freshly witnessed, c = days that the log
reaches back; nothing is taken out of it.
"""

from swt3_agent.protocol.appraisal.base import Appraisal, Outcome, lack, minted
from swt3_agent.protocol.claims import count_claim, entries_claim, text_claim
from swt3_agent.protocol.evidence import Reading, Reason, RootOfTrust, Unavailable

PROCEDURE = "AI-LOG.1"
COLLECTOR = "coverage"

_CODES = {"stale": "COVERAGE_STALE", "missing": "COVERAGE_MISSING"}


def appraise_coverage(reading: Reading) -> Appraisal:
    """AI-LOG.1 of a node that has run long enough to have witnessed what it can."""
    claims = reading.claims
    if isinstance(reading, Unavailable):
        reasons: tuple[Reason, ...] = (lack(reading),)
        return minted(reading.collector, PROCEDURE, (1, 0, 0), reasons)
    lacking = [
        (_CODES[state], text_claim(entry, "procedure_id"))
        for entry in entries_claim(claims, "procedures")
        if (state := text_claim(entry, "state")) in _CODES
    ]
    reasons = tuple(
        Reason(code, f"{procedure} is required", "`swt3-agent status` shows when it was witnessed")
        for code, procedure in lacking
    )
    if claims.get("settled") is not True:
        return Appraisal(
            reading.collector, PROCEDURE, Outcome.RECORDED, None, reasons, RootOfTrust.SELF_REPORTED
        )
    factors = (
        count_claim(claims, "due"),
        count_claim(claims, "fresh"),
        count_claim(claims, "days"),
    )
    context = {
        "provider": "swt3-agent",
        "profile": text_claim(claims, "profile"),
        "lacking": [procedure for _, procedure in lacking],
    }
    return minted(reading.collector, PROCEDURE, factors, reasons, context=context)
