"""AI-AUDIT.1: the agent's appraisal of its own log, one for each day that it seals.

Factors: a = records read back, b = all of them and every root held, c = format (docs/protocol.md
8.1). A log that could not be checked has not been verified: it fails.
"""

from collections.abc import Mapping

from swt3_agent.protocol.appraisal.base import Appraisal, Outcome, lack
from swt3_agent.protocol.claims import (
    Claims,
    count_claim,
    entries_claim,
    reasons_claim,
    text_claim,
)
from swt3_agent.protocol.evidence import Reading, Reason, RootOfTrust, Unavailable
from swt3_agent.protocol.procedures import Verdict, judge

PROCEDURE = "AI-AUDIT.1"
_CUSTOM = 3  # format code: none of jsonl, syslog, otel


def appraise_audit(reading: Reading) -> tuple[Appraisal, ...]:
    """AI-AUDIT.1 for each day that the audit sealed; one without a day where it sealed none."""
    claims = reading.claims
    if isinstance(reading, Unavailable):
        why = (lack(reading),)
        return (_appraised(reading.collector, claims, {}, verified=False, reasons=why),)
    reasons = reasons_claim(claims, "problems")
    verified = claims.get("verified") is True and not reasons
    return tuple(
        _appraised(reading.collector, claims, day, verified=verified, reasons=reasons)
        for day in entries_claim(claims, "days") or ({},)
    )


def _appraised(
    collector: str, claims: Claims, day: Claims, *, verified: bool, reasons: tuple[Reason, ...]
) -> Appraisal:
    factors = (count_claim(claims, "entries"), int(verified), _CUSTOM)
    passed = judge(PROCEDURE, *factors) is Verdict.PASS
    return Appraisal(
        collector,
        PROCEDURE,
        Outcome.PASS if passed else Outcome.FAIL,
        factors,
        reasons,
        RootOfTrust.SELF_REPORTED,
        _context(claims, day),
        subject=text_claim(day, "date"),
    )


def _context(claims: Claims, day: Claims) -> dict[str, object]:
    """``log_hash`` is the RFC 9162 root, ``merkle_root`` the day's SWT3 root beside it."""
    log = claims.get("log")
    context: dict[str, object] = {"provider": "swt3-agent"}
    if isinstance(log, Mapping):
        context |= {"log_hash": text_claim(log, "root"), "log_size": count_claim(log, "size")}
    if day:
        context |= {
            "date": text_claim(day, "date"),
            "merkle_root": text_claim(day, "root"),
            "record_count": count_claim(day, "count"),
            "late_count": count_claim(day, "late"),
        }
    return context
