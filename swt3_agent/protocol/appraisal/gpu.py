"""Accelerators and what joins them (docs/protocol.md 8.2)."""

from collections.abc import Mapping

from swt3_agent.protocol.appraisal.base import (
    Appraisal,
    Outcome,
    lack,
    minted,
    without_evidence,
)
from swt3_agent.protocol.claims import (
    Claims,
    count_claim,
    entries_claim,
    reasons_claim,
    text_claim,
)
from swt3_agent.protocol.context import bus_context, gpu_context
from swt3_agent.protocol.evidence import Lack, Reading, Reason, Unavailable

TOPOLOGY_UNKNOWN = 3  # factor c of AI-HW.1 (docs/protocol.md 8.2)


def appraise_gpu(reading: Reading, expected: int | None = None) -> Appraisal:
    """AI-HW.1 from the accelerators: a = count, b = healthy and complete, c = topology code.

    Health is absolute: every accelerator on the PCI bus answers, and no critical finding. A
    node with no accelerator on the bus is not judged; one whose accelerators cannot be read
    fails with the count of the bus. Where ``expected`` is given, any other count fails too.
    """
    if isinstance(reading, Unavailable):
        on_bus = count_claim(reading.claims, "pci_count")
        if reading.lack is Lack.ABSENT and on_bus == 0 and not expected:
            return without_evidence(reading, "AI-HW.1", Outcome.ABSENT)
        factors = (on_bus, 0, TOPOLOGY_UNKNOWN)
        reasons = (lack(reading), *_unexpected(on_bus, expected))
        context = bus_context(reading.claims) if on_bus else None
        return minted(reading.collector, "AI-HW.1", factors, reasons, context=context)
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
    return minted(
        reading.collector,
        "AI-HW.1",
        (count, int(healthy), _topology_code(claims)),
        (*reasons, no_baseline),
        root_of_trust=reading.root_of_trust,
        context=gpu_context(claims, topology),
        model_id=f"hw-nvidia-{topology}",
    )


def appraise_nvlink(reading: Reading) -> tuple[Appraisal, ...]:
    """What joins the accelerators, from the same reading: recorded; AI-HW.1 judges its health.

    Nothing where no accelerator answers: AI-HW.1 says why.
    """
    nvlink = reading.claims.get("nvlink")
    if isinstance(reading, Unavailable) or not isinstance(nvlink, Mapping):
        return ()
    if count_claim(reading.claims, "count") == 0:
        return ()
    summary = Reason("NVLINK", text_claim(nvlink, "summary") or "nothing is said of links")
    return (
        Appraisal(
            reading.collector,
            None,
            Outcome.RECORDED,
            None,
            (summary,),
            reading.root_of_trust,
            subject="nvlink",
        ),
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


def _gpu_findings(claims: Claims) -> tuple[Reason, ...]:
    """Critical findings of the node, then those of each GPU; one that both list counts once."""
    findings = reasons_claim(claims, "problems")
    for gpu in entries_claim(claims, "gpus"):
        findings += reasons_claim(gpu, "problems")
    return tuple(dict.fromkeys(findings))


def _topology_code(claims: Claims) -> int:
    code = claims.get("topology_code")
    return code if type(code) is int and 0 <= code <= TOPOLOGY_UNKNOWN else TOPOLOGY_UNKNOWN
