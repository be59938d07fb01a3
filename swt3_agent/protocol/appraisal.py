"""Appraisal: from a reading to an outcome with reasons (docs/protocol.md 8; RFC 9334).

Pure: the same reading gives the same appraisal. Evidence that lacks what a rule needs counts
against the node, never for it. Only PASS and FAIL with factors are minted; what could not be
compared or is not there is recorded and shown, because the wire has no word for it
(docs/protocol.md 8.4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from swt3_agent.protocol.claims import (
    UNSPECIFIED,
    Claims,
    count_claim,
    entries_claim,
    reasons_claim,
    text_claim,
)
from swt3_agent.protocol.context import gpu_context, platform_context, weights_context
from swt3_agent.protocol.evidence import (
    Lack,
    Reading,
    Reason,
    RootOfTrust,
    Unavailable,
)
from swt3_agent.protocol.procedures import Verdict, judge

TPM_2_0, TPM_SIMULATED = 0, 3  # factor c of AI-HW.3 (docs/protocol.md 8.3)
TOPOLOGY_UNKNOWN = 3  # factor c of AI-HW.1 (docs/protocol.md 8.2)

_REENROLL = "find out what changed in firmware or boot, then enroll the new values"


class Outcome(Enum):
    """What an appraisal comes to."""

    PASS = "PASS"  # noqa: S105 - an outcome, not a password
    FAIL = "FAIL"
    NOT_COMPARED = "NOT_COMPARED"  # evidence without a reference value to hold it against
    ABSENT = "ABSENT"  # nothing there to appraise, and nothing was expected
    RECORDED = "RECORDED"  # evidence that no procedure judges


@dataclass(frozen=True, slots=True)
class Appraisal:
    """One outcome, why, and what an anchor about it says.

    ``factors`` are (a, b, c) of ``procedure_id`` and present only where an anchor is minted.
    ``context`` and ``model_id`` become ``ai_context`` and ``ai_model_id`` as far as clearing lets
    them (docs/protocol.md 6). ``subject`` tells several appraisals of one reading apart.
    """

    collector: str
    procedure_id: str | None
    outcome: Outcome
    factors: tuple[int, int, int] | None
    reasons: tuple[Reason, ...]
    root_of_trust: RootOfTrust
    context: Mapping[str, object] = field(default_factory=dict)
    model_id: str | None = None
    subject: str = ""


def appraise_host(reading: Reading) -> Appraisal:
    """Facts about the host, or why there are none: recorded, judged by no procedure."""
    if isinstance(reading, Unavailable):
        return _without_evidence(reading, None, Outcome.RECORDED)
    return Appraisal(reading.collector, None, Outcome.RECORDED, None, (), reading.root_of_trust)


def appraise_platform(reading: Reading) -> Appraisal:
    """AI-HW.3 from a TPM quote: a = PCRs quoted, b = it holds, c = kind of TPM.

    Without a TPM the node cannot show its boot state: (0, 0, 0), FAIL. A verified quote passes;
    where there are no reference values the reasons say that nothing was compared.
    """
    if isinstance(reading, Unavailable):
        return _minted(reading.collector, "AI-HW.3", (0, 0, 0), (_lack(reading),))
    quote = reading.claims.get("quote")
    if not isinstance(quote, Mapping):
        quote = {}
    reasons = _quote_faults(quote)
    quoted = 0 if reasons else count_claim(quote, "pcr_count")
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
    return _minted(
        reading.collector,
        "AI-HW.3",
        (quoted, int(holds), TPM_2_0 if hardware else TPM_SIMULATED),
        reasons,
        root_of_trust=RootOfTrust.TPM if hardware else RootOfTrust.SOFTWARE_TPM,
        context=platform_context(reading.claims, quote),
        model_id="tpm-attestation",
    )


def appraise_gpu(reading: Reading, expected: int | None = None) -> Appraisal:
    """AI-HW.1 from the accelerators: a = count, b = healthy and complete, c = topology code.

    Health is absolute: every accelerator on the PCI bus answers, and no critical finding. A
    node with no accelerator on the bus is not judged; one whose accelerators cannot be read
    fails with the count of the bus. Where ``expected`` is given, any other count fails too.
    """
    if isinstance(reading, Unavailable):
        on_bus = count_claim(reading.claims, "pci_count")
        if reading.lack is Lack.ABSENT and on_bus == 0 and not expected:
            return _without_evidence(reading, "AI-HW.1", Outcome.ABSENT)
        factors = (on_bus, 0, TOPOLOGY_UNKNOWN)
        reasons = (_lack(reading), *_unexpected(on_bus, expected))
        return _minted(reading.collector, "AI-HW.1", factors, reasons)
    claims = reading.claims
    count, on_bus = count_claim(claims, "count"), count_claim(claims, "pci_count")
    reasons = _gpu_findings(claims)
    if count == 0 and claims.get("pci_count") == 0 and not reasons and not expected:
        nothing = Reason("NO_ACCELERATOR", "no accelerator is on the PCI bus")
        return Appraisal(
            reading.collector, "AI-HW.1", Outcome.ABSENT, None, (nothing,), reading.root_of_trust
        )
    if count == 0 or count != on_bus:
        reasons += (
            Reason(
                "GPU_COUNT",
                f"the driver reports {count} of the {on_bus} accelerators on the PCI bus",
                "look for lost or failed devices in the kernel log",
            ),
        )
    reasons += _unexpected(count, expected)
    healthy = not reasons
    no_baseline = Reason(
        "NO_BASELINE",
        "health was judged by absolute rules, not against an enrolled baseline",
        "none in this version: a baseline cannot be enrolled yet",
    )
    topology = text_claim(claims, "topology") or "unknown"
    return _minted(
        reading.collector,
        "AI-HW.1",
        (count, int(healthy), _topology_code(claims)),
        (*reasons, no_baseline),
        root_of_trust=reading.root_of_trust,
        context=gpu_context(claims, topology),
        model_id=f"hw-nvidia-{topology}",
    )


def _unexpected(count: int, expected: int | None) -> tuple[Reason, ...]:
    if expected is None or count == expected:
        return ()
    return (
        Reason(
            "GPU_EXPECTED",
            f"{count} accelerators where {expected} are expected",
            "find the missing ones, or correct agent.gpu.expected",
        ),
    )


def appraise_weights(reading: Reading) -> tuple[Appraisal, ...]:
    """AI-MDL.1 for each model: b = the running weights have the approved digest.

    A model without an approved digest is NOT_COMPARED and not minted. A model that has one but
    could not be read, or has problems, fails.
    """
    models = entries_claim(reading.claims, "models")
    if isinstance(reading, Unavailable):
        lack = _lack(reading)
        if not models:
            outcome = Outcome.ABSENT if reading.lack is Lack.ABSENT else Outcome.NOT_COMPARED
            return (_without_evidence(reading, "AI-MDL.1", outcome),)
        return tuple(
            _appraise_model(reading.collector, RootOfTrust.SELF_REPORTED, model, (lack,))
            for model in models
        )
    return tuple(
        _appraise_model(
            reading.collector, reading.root_of_trust, model, reasons_claim(model, "problems")
        )
        for model in models
    )


def _minted(
    collector: str,
    procedure_id: str,
    factors: tuple[int, int, int],
    reasons: tuple[Reason, ...],
    *,
    root_of_trust: RootOfTrust = RootOfTrust.SELF_REPORTED,
    context: Mapping[str, object] | None = None,
    model_id: str | None = None,
    subject: str = "",
) -> Appraisal:
    """An appraisal that becomes an anchor: the factors decide its outcome."""
    passed = judge(procedure_id, *factors) is Verdict.PASS
    return Appraisal(
        collector,
        procedure_id,
        Outcome.PASS if passed else Outcome.FAIL,
        factors,
        reasons,
        root_of_trust,
        context or {},
        model_id,
        subject,
    )


def _without_evidence(
    reading: Unavailable, procedure_id: str | None, outcome: Outcome
) -> Appraisal:
    return Appraisal(
        reading.collector,
        procedure_id,
        outcome,
        None,
        (_lack(reading),),
        RootOfTrust.SELF_REPORTED,
    )


def _lack(reading: Unavailable) -> Reason:
    return Reason(reading.code, reading.detail, reading.remedy)


def _quote_faults(quote: Claims) -> tuple[Reason, ...]:
    if quote.get("verified") is not True:
        detail = "the TPM's quote is missing or did not verify"
        remedy = "attest again; if it stays so, treat this node's TPM or its path as compromised"
        return (Reason("QUOTE_INVALID", detail, remedy),)
    if count_claim(quote, "pcr_count") == 0:
        return (Reason("QUOTE_EMPTY", "the quote covers no PCR", "quote at least PCRs 0 to 7"),)
    return ()


def _gpu_findings(claims: Claims) -> tuple[Reason, ...]:
    """Critical findings of the node, then those of each GPU; one that both list counts once."""
    findings = reasons_claim(claims, "problems")
    for gpu in entries_claim(claims, "gpus"):
        findings += reasons_claim(gpu, "problems")
    return tuple(dict.fromkeys(findings))


def _reference_faults(claims: Claims) -> tuple[Reason, ...]:
    """Differences from reference values, which the collector lists where it has any."""
    return tuple(
        reason if reason.code != UNSPECIFIED else Reason("PCR_MISMATCH", reason.detail, _REENROLL)
        for reason in reasons_claim(claims, "mismatches")
    )


def _topology_code(claims: Claims) -> int:
    code = claims.get("topology_code")
    return code if type(code) is int and 0 <= code <= TOPOLOGY_UNKNOWN else TOPOLOGY_UNKNOWN


def _appraise_model(
    collector: str, root_of_trust: RootOfTrust, model: Claims, findings: tuple[Reason, ...]
) -> Appraisal:
    name = text_claim(model, "name")
    digest, approved = text_claim(model, "digest").lower(), text_claim(model, "approved").lower()
    if not digest:
        root_of_trust = RootOfTrust.SELF_REPORTED  # no file was read: nothing vouches but we
    if not approved:
        nothing_to_compare = Reason(
            "NO_APPROVED_DIGEST",
            f"no approved digest is configured for model {name}; its digest is {digest or 'none'}",
            "where you trust these weights, give that digest as `approved` in agent.models",
        )
        return Appraisal(
            collector,
            "AI-MDL.1",
            Outcome.NOT_COMPARED,
            None,
            (*findings, nothing_to_compare),
            root_of_trust,
            weights_context(model),
            name or None,
            name,
        )
    if not findings and digest != approved:
        findings = (
            Reason(
                "WEIGHTS_DIFFER",
                f"the weights of model {name} have digest {digest or 'none'}, "
                f"the approved one is {approved}",
                "restore the approved weights, or approve these after review",
            ),
        )
    return _minted(
        collector,
        "AI-MDL.1",
        (1, int(not findings), 0),
        findings,
        root_of_trust=root_of_trust,
        context=weights_context(model),
        model_id=name or None,
        subject=name,
    )
