"""The host and its boot state (docs/protocol.md 8.3)."""

from collections.abc import Mapping

from swt3_agent.protocol.appraisal.base import (
    Appraisal,
    Outcome,
    lack,
    minted,
    without_evidence,
)
from swt3_agent.protocol.claims import UNSPECIFIED, Claims, count_claim, reasons_claim
from swt3_agent.protocol.context import platform_context
from swt3_agent.protocol.evidence import Reading, Reason, RootOfTrust, Unavailable

TPM_2_0, TPM_SIMULATED = 0, 3  # factor c of AI-HW.3 (docs/protocol.md 8.3)

_REENROLL = "find out what changed in firmware or boot, then enroll the new values"


def appraise_host(reading: Reading) -> Appraisal:
    """Facts about the host, or why there are none: recorded, judged by no procedure."""
    if isinstance(reading, Unavailable):
        return without_evidence(reading, None, Outcome.RECORDED)
    return Appraisal(reading.collector, None, Outcome.RECORDED, None, (), reading.root_of_trust)


def appraise_platform(reading: Reading) -> Appraisal:
    """AI-HW.3 from a TPM quote: a = PCRs quoted, b = it holds, c = kind of TPM.

    Without a TPM the node cannot show its boot state: (0, 0, 0), FAIL. So does one whose registers
    are not of this boot, because the TPM was reset under it. Any other verified quote passes;
    where there are no reference values the reasons say that nothing was compared.
    """
    if isinstance(reading, Unavailable):
        return minted(reading.collector, "AI-HW.3", (0, 0, 0), (lack(reading),))
    quote = reading.claims.get("quote")
    if not isinstance(quote, Mapping):
        quote = {}
    reasons = _quote_faults(quote)
    quoted = 0 if reasons else count_claim(quote, "pcr_count")
    reasons += reasons_claim(reading.claims, "boot_faults")
    reasons += _reference_faults(reading.claims)
    holds = not reasons
    if holds and reading.claims.get("reference") is None:
        reasons = (
            Reason(
                "NO_REFERENCE",
                "PCR values were quoted and verified, not compared with reference values",
                "none in this version: reference values cannot be enrolled yet",
            ),
        )
    hardware = (
        reading.root_of_trust is RootOfTrust.TPM
        and reading.claims.get("kind") == RootOfTrust.TPM.value
    )
    return minted(
        reading.collector,
        "AI-HW.3",
        (quoted, int(holds), TPM_2_0 if hardware else TPM_SIMULATED),
        reasons,
        root_of_trust=RootOfTrust.TPM if hardware else RootOfTrust.SOFTWARE_TPM,
        context=platform_context(reading.claims, quote),
        model_id="tpm-attestation",
    )


def _quote_faults(quote: Claims) -> tuple[Reason, ...]:
    if quote.get("verified") is not True:
        detail = "the TPM's quote is missing or did not verify"
        remedy = "attest again; if it stays so, treat this node's TPM or its path as compromised"
        return (Reason("QUOTE_INVALID", detail, remedy),)
    if count_claim(quote, "pcr_count") == 0:
        return (Reason("QUOTE_EMPTY", "the quote covers no PCR", "quote at least PCRs 0 to 7"),)
    return ()


def _reference_faults(claims: Claims) -> tuple[Reason, ...]:
    """Differences from reference values, which the collector lists where it has any."""
    return tuple(
        reason if reason.code != UNSPECIFIED else Reason("PCR_MISMATCH", reason.detail, _REENROLL)
        for reason in reasons_claim(claims, "mismatches")
    )
