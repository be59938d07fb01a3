"""Model weights against what was approved (docs/protocol.md 8.6)."""

from swt3_agent.protocol.appraisal.adapters import appraise_adapters
from swt3_agent.protocol.appraisal.base import (
    Appraisal,
    Outcome,
    lack,
    minted,
    without_evidence,
)
from swt3_agent.protocol.appraisal.quantization import appraise_quantization
from swt3_agent.protocol.claims import Claims, entries_claim, reasons_claim, text_claim
from swt3_agent.protocol.context import weight_file_context, weights_context
from swt3_agent.protocol.evidence import Lack, Reading, Reason, RootOfTrust, Unavailable

STAGES = {
    "design": 0,
    "development": 1,
    "testing": 2,
    "deployment": 3,
    "monitoring": 4,
    "decommission": 5,
}
"""Factor c of AI-MDL.5; 0 also where nobody named a stage (docs/protocol.md 8.6)."""


def appraise_weights(reading: Reading) -> tuple[Appraisal, ...]:
    """For each model AI-MDL.1, and what its files say beside: AI-MDL.5, AI-MDL.6 and AI-MDL.7.

    What has no approved reference is NOT_COMPARED and not minted. What has one but could not be
    read, or has problems, fails.
    """
    models = entries_claim(reading.claims, "models")
    findings: tuple[Reason, ...] = ()
    root_of_trust = RootOfTrust.SELF_REPORTED
    if isinstance(reading, Unavailable):
        findings = (lack(reading),)
        if not models:
            outcome = Outcome.ABSENT if reading.lack is Lack.ABSENT else Outcome.NOT_COMPARED
            return (without_evidence(reading, "AI-MDL.1", outcome),)
    else:
        root_of_trust = reading.root_of_trust
    return tuple(
        appraisal
        for model in models
        for appraisal in _appraise_model(reading.collector, root_of_trust, model, findings)
    )


def _appraise_model(
    collector: str, root_of_trust: RootOfTrust, model: Claims, findings: tuple[Reason, ...]
) -> tuple[Appraisal, ...]:
    findings += reasons_claim(model, "problems")
    if not text_claim(model, "digest"):
        root_of_trust = RootOfTrust.SELF_REPORTED  # no file was read: nothing vouches but we
    files = entries_claim(model, "approved_files")
    return (
        _appraise_manifest(collector, root_of_trust, model, findings),
        *(_appraise_file(collector, root_of_trust, model, file, findings) for file in files),
        *appraise_adapters(collector, root_of_trust, model, findings),
        *appraise_quantization(collector, root_of_trust, model),
    )


def _appraise_manifest(
    collector: str, root_of_trust: RootOfTrust, model: Claims, findings: tuple[Reason, ...]
) -> Appraisal:
    """AI-MDL.1: b = the running weights have the approved digest."""
    name = text_claim(model, "name")
    digest, approved = text_claim(model, "digest").lower(), text_claim(model, "approved").lower()
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
    return minted(
        collector,
        "AI-MDL.1",
        (1, int(not findings), 0),
        findings,
        root_of_trust=root_of_trust,
        context=weights_context(model),
        model_id=name or None,
        subject=name,
    )


def _appraise_file(
    collector: str,
    root_of_trust: RootOfTrust,
    model: Claims,
    file: Claims,
    findings: tuple[Reason, ...],
) -> Appraisal:
    """AI-MDL.5: b = one weight file has the digest that it was approved with."""
    name, path = text_claim(model, "name"), text_claim(file, "path")
    digest, approved = text_claim(file, "sha256").lower(), text_claim(file, "approved").lower()
    if not findings and (not digest or digest != approved):
        findings = (
            Reason(
                "WEIGHT_FILE_DIFFERS" if digest else "WEIGHT_FILE_MISSING",
                f"{path} of model {name} has SHA-256 {digest or 'none: it is not there'}, "
                f"the approved one is {approved}",
                "restore the approved file, or approve this one after review",
            ),
        )
    stage = STAGES.get(text_claim(model, "stage"), 0)
    suffix = path.rpartition(".")[2] if "." in path else ""
    return minted(
        collector,
        "AI-MDL.5",
        (1, int(not findings), stage),
        findings,
        root_of_trust=root_of_trust,
        context=weight_file_context(model, file, suffix),
        model_id=suffix or "model-weights",
        subject=f"{name}/{path}",
    )
