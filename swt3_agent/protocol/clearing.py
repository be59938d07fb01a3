"""Clearing: which fields of a witness leave at which level (docs/protocol.md 6).

Levels: 0 analytics, 1 standard, 2 sensitive, 3 classified. Where published sources differ the
stricter reading holds. Clearing never touches a fingerprint input, never changes the declared
``clearing_level``, and only ever removes or hashes: clearing again, or in several steps down,
gives what one step gives. Standard library only, because inference processes import it.
"""

import json
import re
from collections.abc import Mapping

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.fingerprint import content_hash

MAX_LEVEL = 3

# The highest level at which a field still travels. A field that is not listed may be content
# that nobody has classified, so it goes where the context goes.
_ALWAYS, _SENSITIVE, _STANDARD = 3, 2, 1

KEPT_THROUGH: Mapping[str, int] = {
    # what every record is made of
    "procedure_id": _ALWAYS,
    "factor_a": _ALWAYS,
    "factor_b": _ALWAYS,
    "factor_c": _ALWAYS,
    "clearing_level": _ALWAYS,
    "anchor_fingerprint": _ALWAYS,
    "anchor_epoch": _ALWAYS,
    "fingerprint_timestamp_ms": _ALWAYS,
    # content
    "ai_model_id": _STANDARD,  # and beyond, as _cleared_model_id says
    "ai_prompt_hash": _SENSITIVE,
    "ai_response_hash": _SENSITIVE,
    "ai_system_prompt_hash": _STANDARD,
    "ai_latency_ms": _STANDARD,
    "ai_input_tokens": _STANDARD,
    "ai_output_tokens": _STANDARD,
    "ai_context": _STANDARD,
    # operational: a ledger needs these to route, verify and judge
    "agent_id": _ALWAYS,
    "cycle_id": _ALWAYS,
    "payload_signature": _ALWAYS,
    "signing_algorithm": _ALWAYS,
    "signing_key_id": _ALWAYS,
    "signing_key_version": _ALWAYS,
    "policy_version_hash": _ALWAYS,
    "jurisdiction": _ALWAYS,
    "legal_basis": _ALWAYS,
    "purpose_class": _ALWAYS,
    "authorization_id": _ALWAYS,
    "authorization_expires": _ALWAYS,
    "authorization_scope": _ALWAYS,
    "references": _ALWAYS,
    "revocation_target": _ALWAYS,
    "revocation_reason": _ALWAYS,
    "lifecycle_chain_id": _ALWAYS,
    "lifecycle_parent": _ALWAYS,
    "lifecycle_stage": _ALWAYS,
    "escalation_chain_id": _ALWAYS,
    "witness_source": _ALWAYS,
}

_SENSITIVE_NAMES = frozenset(name for name, top in KEPT_THROUGH.items() if top >= _SENSITIVE)
_CLASSIFIED_NAMES = frozenset(name for name, top in KEPT_THROUGH.items() if top >= _ALWAYS)

# Only the anchors of an inference say at level 2 which model it was, and at level 3 its hash. In
# all others the same field names hardware, a file or a tool.
_INFERENCE = frozenset(
    {"AI-INF.1", "AI-INF.2", "AI-INF.3", "AI-MDL.1", "AI-MDL.2", "AI-GRD.1", "AI-GRD.2", "AI-ID.1"}
)

# In a context, at every level: the value is replaced by its hash under the name "<key>_hash".
_RAW_IDENTIFIERS = frozenset(
    {
        "file_path",
        "hostname",
        "host_name",
        "serial",
        "serial_number",
        "gpu_serial",
        "board_serial",
        "bus_id",
        "uuid",
    }
)

_CONTENT_HASH = re.compile(r"[0-9a-f]{16}")


def clear(
    payload: Mapping[str, object], level: int, *, drop_guardrail_names: bool = False
) -> tuple[dict[str, object], tuple[str, ...]]:
    """What of ``payload`` may travel at ``level``, and the names of what was removed or hashed.

    Names inside the context are dotted, for instance ``ai_context.file_path``. Nothing named
    means nothing changed, and the bytes as received can stay as they are. The argument is left
    alone. A relayed record is cleared to the higher of its declared and the node's own level.

    ``drop_guardrail_names`` takes the names of guardrails out of the context at level 1, as one of
    the published readings wants.

    Raises FormatError (BAD_FIELD) for a level other than 0 to 3, and for an identifier with a lone
    surrogate, which has no hash.
    """
    if type(level) is not int or not 0 <= level <= MAX_LEVEL:
        raise FormatError(
            "BAD_FIELD",
            f"clearing level {level!r} is not one of 0, 1, 2, 3",
            remedy="use 0 analytics, 1 standard, 2 sensitive or 3 classified",
        )
    cleared = dict(payload)
    context = payload.get("ai_context")
    if level <= _STANDARD:
        if context is None:
            return cleared, ()
        kept, inside = _cleared_context(context, level, drop_guardrail_names)
        if kept is None:
            del cleared["ai_context"]
        else:
            cleared["ai_context"] = kept
        return cleared, tuple(inside)
    changed: list[str] = []
    travelling = _SENSITIVE_NAMES if level == _SENSITIVE else _CLASSIFIED_NAMES
    for name, value in payload.items():
        if name in travelling or value is None:  # null says nothing
            continue
        kept = None
        if name == "ai_model_id":
            kept = _cleared_model_id(payload.get("procedure_id"), value, level)
        if kept == value:
            continue
        changed.append(name)
        if kept is None:
            del cleared[name]
        else:
            cleared[name] = kept
    return cleared, tuple(changed)


def _cleared_model_id(procedure: object, value: object, level: int) -> str | None:
    """The model id for levels 2 and 3; None where it may not travel."""
    if procedure not in _INFERENCE or not isinstance(value, str):
        return None
    if level <= _SENSITIVE or _CONTENT_HASH.fullmatch(value):
        return value
    return content_hash(value)


def _cleared_context(
    context: object, level: int, drop_guardrail_names: bool
) -> tuple[object, list[str]]:
    """The context for levels 0 and 1, and dotted names of what was hashed or removed in it.

    None where it may not travel at all.
    """
    if isinstance(context, str):
        return _cleared_context_text(context, level, drop_guardrail_names)
    changed: list[str] = []
    cleared = _identifiers_hashed(context, "ai_context", changed)
    if level >= _STANDARD and isinstance(cleared, dict):
        if "sandbox_id" in cleared:
            sandbox = str(cleared.pop("sandbox_id"))
            cleared.setdefault("sandbox_id_hash", content_hash(sandbox)[:12])
            changed.append("ai_context.sandbox_id")
        if drop_guardrail_names and "guardrails" in cleared:
            del cleared["guardrails"]
            changed.append("ai_context.guardrails")
    return cleared, changed


def _cleared_context_text(
    text: str, level: int, drop_guardrail_names: bool
) -> tuple[object, list[str]]:
    """Some producers send the context as JSON inside a text: the rules reach into it too."""
    try:
        strict_json.check_depth(text.encode(errors="replace"))
        context = json.loads(text)
    except FormatError:
        return None, ["ai_context"]  # nobody can say what is down there
    except ValueError:
        return text, []
    if not isinstance(context, (dict, list)):
        return text, []
    cleared, changed = _cleared_context(context, level, drop_guardrail_names)
    return (json.dumps(cleared, separators=(",", ":")) if changed else text), changed


def _identifiers_hashed(value: object, name: str, changed: list[str]) -> object:
    """A copy in which no raw identifier is left at any depth; appends the names of those hashed."""
    if isinstance(value, (list, tuple)):
        return [
            _identifiers_hashed(item, f"{name}.{index}", changed)
            for index, item in enumerate(value)
        ]
    if not isinstance(value, Mapping):
        return value
    cleared: dict[str, object] = {}
    for key, member in value.items():
        if key.lower() in _RAW_IDENTIFIERS and member is not None:
            changed.append(f"{name}.{key}")
            if f"{key}_hash" not in value and isinstance(member, (str, int)):
                cleared[f"{key}_hash"] = content_hash(str(member))
        else:
            cleared[key] = _identifiers_hashed(member, f"{name}.{key}", changed)
    return cleared
