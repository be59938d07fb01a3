"""AI-MDL.7: how the weights of a model are quantized (docs/protocol.md 8.6)."""

from collections.abc import Mapping

from swt3_agent.protocol.appraisal.base import Appraisal, Outcome, minted
from swt3_agent.protocol.claims import Claims, entries_claim, reasons_claim, text_claim
from swt3_agent.protocol.context import quantization_context
from swt3_agent.protocol.evidence import Reason, RootOfTrust

METHODS = {
    "fp32": 0,
    "fp16": 1,
    "bf16": 2,
    "int8": 3,
    "int4": 4,
    "gptq": 5,
    "awq": 6,
    "gguf": 7,
}
"""Factor c. A method that is not here is never coded as another (docs/protocol.md 8.6)."""


def appraise_quantization(
    collector: str, root_of_trust: RootOfTrust, model: Claims
) -> tuple[Appraisal, ...]:
    """b = the method is known, and the files bear out what the configuration declares.

    An unknown method is NOT_COMPARED and not minted. Nothing where the claims do not say.
    """
    claims = model.get("quantization")
    if not isinstance(claims, Mapping):
        return ()
    name, method = text_claim(model, "name"), text_claim(claims, "method")
    contradictions = reasons_claim(claims, "contradictions")
    unknown = reasons_claim(claims, "unknown")
    if method not in METHODS or unknown:
        reasons = (*contradictions, *unknown) or (
            Reason("QUANTIZATION_UNKNOWN", f"the method {method or 'of nobody'} has no code"),
        )
        return (
            Appraisal(
                collector,
                "AI-MDL.7",
                Outcome.NOT_COMPARED,
                None,
                reasons,
                root_of_trust,
                {},
                name or None,
                name,
            ),
        )
    return (
        minted(
            collector,
            "AI-MDL.7",
            (1, int(not contradictions), METHODS[method]),
            (*contradictions, *_provenance(claims, method)),
            root_of_trust=root_of_trust,
            context=quantization_context(model, claims),
            model_id=f"quantization-{method}",
            subject=name,
        ),
    )


def _provenance(claims: Claims, method: str) -> tuple[Reason, ...]:
    """What was said by whom."""
    statements = [
        f"{text_claim(statement, 'told')} in {text_claim(statement, 'source')}"
        for statement in entries_claim(claims, "statements")
    ]
    return (Reason("QUANTIZATION", f"{method}, from {', '.join(statements) or 'nowhere'}"),)
