"""The host and its boot state (docs/protocol.md 8.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from swt3_agent.errors import FormatError
from swt3_agent.protocol.appraisal.base import (
    Appraisal,
    Outcome,
    lack,
    minted,
    without_evidence,
)
from swt3_agent.protocol.baseline import Accepted
from swt3_agent.protocol.boot_state import boot_state
from swt3_agent.protocol.claims import Claims, count_claim, reasons_claim
from swt3_agent.protocol.context import platform_context
from swt3_agent.protocol.evidence import Evidence, Reading, Reason, RootOfTrust, Unavailable
from swt3_agent.protocol.reference import compare

TPM_2_0, TPM_SIMULATED = 0, 3  # factor c of AI-HW.3 (docs/protocol.md 8.3)

NO_REFERENCE = Reason(
    "NO_REFERENCE",
    "PCR values were quoted and verified, and compared with nothing: no baseline is in force",
    "see that the node is as it should be, then `swt3-agent baseline accept --reason TEXT`",
)


def appraise_host(reading: Reading) -> Appraisal:
    """Facts about the host, or why there are none: recorded, judged by no procedure."""
    if isinstance(reading, Unavailable):
        return without_evidence(reading, None, Outcome.RECORDED)
    return Appraisal(reading.collector, None, Outcome.RECORDED, None, (), reading.root_of_trust)


def appraise_platform(reading: Reading, accepted: Sequence[Accepted] | Reason = ()) -> Appraisal:
    """AI-HW.3 from a TPM quote: a = PCRs quoted, b = it holds, c = kind of TPM.

    ``accepted`` are the reference values in force, each for itself, the one that is not staged
    first; or why they cannot be read. PASS is a verified quote of a state that one of them accepts
    whole. Without any the state is not compared, and nothing is minted: the wire has no word
    for it. What speaks against the node by itself is FAIL all the same: no TPM (0, 0, 0), a quote
    that does not hold, registers of another boot, because the TPM was reset under the system or a
    kernel started this one. Logs that contradict the registers are said beside any outcome.
    """
    if isinstance(reading, Unavailable):
        return minted(reading.collector, "AI-HW.3", (0, 0, 0), (lack(reading),))
    quote = reading.claims.get("quote")
    if not isinstance(quote, Mapping):
        quote = {}
    faults = _quote_faults(quote)
    quoted = 0 if faults else count_claim(quote, "pcr_count")
    faults += reasons_claim(reading.claims, "boot_faults")
    notes = _contradictions(reading.claims)
    baseline = None
    if isinstance(accepted, Reason):
        faults += (accepted,)
    elif accepted and quoted:
        baseline, differences, held = _held_against(reading, accepted)
        faults += differences
        notes = held + notes
    hardware = (
        reading.root_of_trust is RootOfTrust.TPM
        and reading.claims.get("kind") == RootOfTrust.TPM.value
    )
    judged = minted(
        reading.collector,
        "AI-HW.3",
        (quoted, int(not faults), TPM_2_0 if hardware else TPM_SIMULATED),
        faults + notes,
        root_of_trust=RootOfTrust.TPM if hardware else RootOfTrust.SOFTWARE_TPM,
        context=platform_context(reading.claims, quote),
        model_id="tpm-attestation",
        baseline=baseline,
    )
    if faults or accepted:
        return judged
    return replace(
        judged,
        outcome=Outcome.NOT_COMPARED,
        factors=None,
        reasons=(NO_REFERENCE, *notes),
    )


def _held_against(
    reading: Evidence, accepted: Sequence[Accepted]
) -> tuple[int | None, tuple[Reason, ...], tuple[Reason, ...]]:
    """The record of the values that the state was held against, what differs, and what to know
    beside it. Where none accepts it, those in force count: they come first."""
    try:
        state = boot_state(reading)
    except FormatError as error:
        return accepted[0].record, (Reason.of(error),), ()
    found = [
        (one, compare(one.reference, state.pcrs, state.values, events=state.events))
        for one in accepted
    ]
    one, differences = next((held for held in found if not held[1]), found[0])
    notes = []
    if unjudged := state.unjudged(one.reference):
        which = ", ".join(map(str, unjudged))
        notes.append(
            Reason(
                "REFERENCE_PARTIAL",
                f"the baseline does not judge PCR {which}, or not all that is in there",
                "`swt3-agent baseline show` tells what it judges",
            )
        )
    if len(accepted) > 1:
        notes.append(_staged_note(accepted[1], is_it=one is accepted[1]))
    return one.record, differences, tuple(notes)


def _contradictions(claims: Claims) -> tuple[Reason, ...]:
    """Logs that do not lead to the quoted registers: said, and no fault by themselves.

    What they would have to show and do not is a fault already, where reference values name it. The
    rest has honest causes: a register extended after the boot, a kernel whose boot_aggregate is
    over other registers, a list that began anew.
    """
    ima, boot = claims.get("ima_log"), claims.get("boot_log")
    notes = reasons_claim(ima, "problems") if isinstance(ima, Mapping) else ()
    differing = boot.get("differing") if isinstance(boot, Mapping) else None
    if not differing:
        return notes
    which = ", ".join(map(str, differing)) if isinstance(differing, Sequence) else str(differing)
    return (
        Reason(
            "BOOT_LOG_UNEXPLAINED",
            f"the boot log does not lead to the quoted PCR {which}",
            "find out what extended it after the boot, or whose log this is",
        ),
        *notes,
    )


def _staged_note(staged: Accepted, *, is_it: bool) -> Reason:
    what = "this is the staged update" if is_it else "an update is staged beside what is in force"
    return Reason(
        "BASELINE_STAGED",
        f"{what} (record {staged.record})",
        "once it runs as it should: `swt3-agent baseline confirm --reason TEXT`",
    )


def _quote_faults(quote: Claims) -> tuple[Reason, ...]:
    if quote.get("verified") is not True:
        detail = "the TPM's quote is missing or did not verify"
        remedy = "attest again; if it stays so, treat this node's TPM or its path as compromised"
        return (Reason("QUOTE_INVALID", detail, remedy),)
    if count_claim(quote, "pcr_count") == 0:
        return (Reason("QUOTE_EMPTY", "the quote covers no PCR", "quote at least PCRs 0 to 7"),)
    return ()
