"""Models: their weights, adapters and quantization (docs/protocol.md 8.5)."""

from swt3_agent.protocol.appraisal.base import (
    Appraisal,
    Outcome,
    lack,
    minted,
    without_evidence,
)
from swt3_agent.protocol.claims import Claims, entries_claim, reasons_claim, text_claim
from swt3_agent.protocol.context import weights_context
from swt3_agent.protocol.evidence import Lack, Reading, Reason, RootOfTrust, Unavailable


def appraise_weights(reading: Reading) -> tuple[Appraisal, ...]:
    """AI-MDL.1 for each model: b = the running weights have the approved digest.

    A model without an approved digest is NOT_COMPARED and not minted. A model that has one but
    could not be read, or has problems, fails.
    """
    models = entries_claim(reading.claims, "models")
    if isinstance(reading, Unavailable):
        missing = lack(reading)
        if not models:
            outcome = Outcome.ABSENT if reading.lack is Lack.ABSENT else Outcome.NOT_COMPARED
            return (without_evidence(reading, "AI-MDL.1", outcome),)
        return tuple(
            _appraise_model(reading.collector, RootOfTrust.SELF_REPORTED, model, (missing,))
            for model in models
        )
    return tuple(
        _appraise_model(
            reading.collector, reading.root_of_trust, model, reasons_claim(model, "problems")
        )
        for model in models
    )


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
