"""What a profile or policy demands, and what is missing for it.

A floor can be raised by a layer above, never lowered: the strictest of all layers holds.
"""

from collections.abc import Sequence
from typing import Any

from swt3_agent.config.file_settings import FileSettings, HardwareSettings, PolicySettings
from swt3_agent.config.layers import Layer, Merged
from swt3_agent.config.problems import Findings
from swt3_agent.config.values import LEVEL_WITH_LEDGER, LEVEL_WITHOUT_LEDGER, NO_TPM
from swt3_agent.protocol.catalogue import CATALOGUE

_TPM_METHOD = "tpm_2.0"
_FLAGS = ("require_signing", "require_agent_id", "require_jurisdiction")


def raise_to_floors(merged: Merged, layers: Sequence[Layer], findings: Findings) -> None:
    """Put the strictest ``policy`` and ``hardware`` of all ``layers`` into the merged document."""
    policies = [(layer, layer.document.get("policy", {})) for layer in layers]
    for name in _FLAGS:
        _hold(merged, policies, f"policy.{name}", any, findings)
    _hold(merged, policies, "policy.min_clearing_level", max, findings)
    _hold(merged, policies, "policy.required_procedures", _union, findings)
    hardware = [(layer, layer.document.get("hardware", {})) for layer in layers]
    _hold(merged, hardware, "hardware.require_attestation", any, findings)
    _hold(merged, hardware, "hardware.attestation_freshness", min, findings)


def _hold(
    merged: Merged,
    sections: Sequence[tuple[Layer, dict[str, Any]]],
    path: str,
    strictest: Any,
    findings: Findings,
) -> None:
    section, key = path.split(".")
    said = [(layer, values[key]) for layer, values in sections if key in values]
    if not said:
        return
    held = strictest([value for _, value in said])
    last_layer, last = said[-1]
    if held != last and path != "policy.required_procedures":  # lists add up, without a word
        findings.warn(f"{path}: {last_layer.name} cannot loosen it, so {held} holds")
    setter = next((layer for layer, value in reversed(said) if value == held), last_layer)
    merged.origins[path] = setter.origins.get(path, setter.name)
    merged.document.setdefault(section, {})[key] = held


def _union(lists: Sequence[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(procedure for procedures in lists for procedure in procedures))


def clearing_level(
    settings: FileSettings, merged: Merged, *, has_ledger: bool, findings: Findings
) -> int:
    """The level in force; one that was asked for and is below the floor is a problem."""
    floor = settings.policy.min_clearing_level
    level = settings.clearing_level
    if level is None:
        return max(floor, LEVEL_WITH_LEDGER if has_ledger else LEVEL_WITHOUT_LEDGER)
    if level < floor:
        findings.refuse(
            "CONFIG_FLOOR",
            "clearing_level",
            f"clearing_level {level} ({merged.origin('clearing_level')}) is below the floor"
            f" {floor} ({merged.origin('policy.min_clearing_level')})",
            f"set it to {floor} or more, or choose another profile",
        )
    return max(level, floor)


def check_demands(settings: FileSettings, merged: Merged, findings: Findings) -> None:
    """What the policy demands and nobody set is a lack; what contradicts it is a problem."""
    _check_required(settings, merged, findings)
    _check_procedures(settings.policy, settings.procedures, findings)
    _check_hardware(settings.hardware, settings.agent.tpm.tcti, findings)


def _check_required(settings: FileSettings, merged: Merged, findings: Findings) -> None:
    demands = (
        (
            "require_signing",
            settings.signing_key,
            "signing_key",
            "SWT3_SIGNING_KEY, signing_key_env in the file, or the credential signing-key",
        ),
        ("require_agent_id", settings.agent_id, "agent_id", "SWT3_AGENT_ID, or agent_id"),
        (
            "require_jurisdiction",
            settings.jurisdiction,
            "jurisdiction",
            "SWT3_JURISDICTION, or jurisdiction, to an ISO 3166-1 code such as DE",
        ),
    )
    for flag, value, key, where in demands:
        if getattr(settings.policy, flag) and not value:
            by = merged.origin(f"policy.{flag}")
            findings.lack(
                "CONFIG_REQUIRED", key, f"{key} is missing, and {by} requires it", f"set {where}"
            )


def _check_procedures(
    policy: PolicySettings, configured: tuple[str, ...] | None, findings: Findings
) -> None:
    for procedure in sorted(set(policy.required_procedures) - set(CATALOGUE)):
        findings.warn(
            f"policy.required_procedures: {procedure} is not in the catalogue, and expected as"
            " often as inference; `swt3-agent procedures` lists those that are"
        )
    missing = sorted(set(policy.required_procedures) - set(configured or ()))
    if configured is not None and missing:
        findings.bad_value(
            "procedures",
            f"leaves out {', '.join(missing)}, which the policy requires",
            "add them, or leave `procedures` out",
        )


def _check_hardware(hardware: HardwareSettings, tcti: str | None, findings: Findings) -> None:
    if not hardware.require_attestation:
        return
    if hardware.allowed_methods and _TPM_METHOD not in hardware.allowed_methods:
        findings.bad_value(
            "hardware.allowed_methods",
            f"leaves out {_TPM_METHOD}, and this agent attests in no other way",
            f"add {_TPM_METHOD}, or set hardware.require_attestation to false",
        )
    if tcti == NO_TPM:
        findings.bad_value(
            "agent.tpm.tcti",
            "is none, and hardware.require_attestation is true",
            "name a TPM, or choose a profile that asks for none",
        )
