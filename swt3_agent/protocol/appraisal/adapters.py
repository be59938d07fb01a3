"""AI-MDL.6: the stack of adapters of a model (docs/protocol.md 8.6)."""

from collections.abc import Sequence

from swt3_agent.protocol.appraisal.base import Appraisal, Outcome, minted
from swt3_agent.protocol.claims import Claims, entries_claim, reasons_claim, text_claim
from swt3_agent.protocol.context import adapters_context
from swt3_agent.protocol.evidence import Reason, RootOfTrust

_MOST_NAMED = 8  # adapters of a stack that a summary names
_APPROVE = "where you trust it, give its digest as `approved` under `adapters` of the model"


def appraise_adapters(
    collector: str, root_of_trust: RootOfTrust, model: Claims, findings: tuple[Reason, ...]
) -> tuple[Appraisal, ...]:
    """b = every adapter has the digest that it was approved with. One that names another base model
    is told beside it: a name proves nothing.

    One that lies within its model and has no approval of its own is approved by the model's
    digest, which covers it. Where nothing was approved, nothing is compared; where one adapter
    is, one beside it that nobody approved fails. Claims that say nothing of adapters, or a model
    that could not be read and has none configured, have no appraisal: AI-MDL.1 says why.
    """
    adapters = entries_claim(model, "adapters")
    name = text_claim(model, "name")
    unread = bool(findings) or not text_claim(model, "digest")
    if "adapters" not in model or (unread and not adapters):
        return ()
    if not adapters:
        nothing = Reason("NO_ADAPTER", f"no adapter lies in model {name}, and none is configured")
        return (_unminted(collector, Outcome.ABSENT, (nothing,), root_of_trust, model),)
    strangers = tuple(
        _other_base(adapter) for adapter in adapters if adapter.get("base_named") is False
    )
    verdicts = [_compare(adapter, model, unread=unread) for adapter in adapters]
    if all(verdict is None for verdict in verdicts):
        reasons = (*map(_unapproved, adapters), *strangers)
        return (_unminted(collector, Outcome.NOT_COMPARED, reasons, root_of_trust, model),)
    faults = tuple(
        fault
        for adapter, verdict in zip(adapters, verdicts, strict=True)
        for fault in ((_unapproved(adapter),) if verdict is None else verdict)
    )
    if faults:
        faults = tuple(dict.fromkeys((*findings, *faults)))
    return (
        minted(
            collector,
            "AI-MDL.6",
            (len(adapters), int(not faults), 0),
            (*(faults or (_summary(adapters),)), *strangers),
            root_of_trust=root_of_trust,
            context=adapters_context(model),
            model_id=name or None,
            subject=name,
        ),
    )


def _compare(adapter: Claims, model: Claims, *, unread: bool) -> tuple[Reason, ...] | None:
    """What speaks against an adapter; None where nothing was approved to compare it with."""
    name = text_claim(adapter, "name")
    digest, approved = (
        text_claim(adapter, "digest").lower(),
        text_claim(adapter, "approved").lower(),
    )
    problems = reasons_claim(adapter, "problems")
    if approved:
        if problems or digest == approved:
            return problems
        detail = f"adapter {name} has digest {digest or 'none'}, the approved one is {approved}"
        remedy = "restore the approved adapter, or approve this one after review"
        return (Reason("ADAPTER_DIFFERS", detail, remedy),)
    of_model = text_claim(model, "approved").lower()
    if not of_model or not text_claim(adapter, "within"):
        return None
    if problems or (not unread and text_claim(model, "digest").lower() == of_model):
        return problems
    detail = f"adapter {name} is approved only as part of its model, which is not the approved one"
    return (Reason("ADAPTER_UNVERIFIED", detail, _APPROVE),)


def _unapproved(adapter: Claims) -> Reason:
    digest = text_claim(adapter, "digest") or "none"
    detail = f"adapter {_described(adapter)} was approved by nobody; its digest is {digest}"
    return Reason("ADAPTER_UNAPPROVED", detail, _APPROVE)


def _other_base(adapter: Claims) -> Reason:
    return Reason(
        "ADAPTER_BASE_DIFFERS",
        f"adapter {text_claim(adapter, 'name')} says that it was made for "
        f"{text_claim(adapter, 'base_model')}, and this model says that it is another",
        "see whether it belongs here: on a foreign base it computes nonsense; nothing, if this is "
        "the same model by another name",
    )


def _summary(adapters: Sequence[Claims]) -> Reason:
    """What the stack is, in one line."""
    named = [_described(adapter) for adapter in adapters[:_MOST_NAMED]]
    if len(adapters) > _MOST_NAMED:
        named.append(f"{len(adapters) - _MOST_NAMED} more")
    return Reason("ADAPTERS", ", ".join(named))


def _described(adapter: Claims) -> str:
    kind, base = text_claim(adapter, "peft_type"), text_claim(adapter, "base_model")
    about = " ".join(filter(None, (kind, base and f"for {base}")))
    return f"{text_claim(adapter, 'name')} ({about})" if about else text_claim(adapter, "name")


def _unminted(
    collector: str,
    outcome: Outcome,
    reasons: tuple[Reason, ...],
    root_of_trust: RootOfTrust,
    model: Claims,
) -> Appraisal:
    name = text_claim(model, "name")
    return Appraisal(
        collector, "AI-MDL.6", outcome, None, reasons, root_of_trust, {}, name or None, name
    )
