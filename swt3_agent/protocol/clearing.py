"""Clearing: which fields of a witness leave at which level (docs/protocol.md 6).

Levels: 0 analytics, 1 standard, 2 sensitive, 3 classified. Where published sources differ the
stricter reading holds. Clearing never touches a fingerprint input, never changes the declared
``clearing_level``, and only ever removes or hashes: clearing again, or in several steps down,
gives what one step gives. Standard library only, because inference processes import it.
"""

import json
import re
from collections.abc import Mapping
from enum import Enum

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.fingerprint import content_hash

MAX_LEVEL = 3


class Fate(str, Enum):
    """What becomes of a field at a level."""

    KEPT = "yes"
    HASHED = "hash"
    REMOVED = "no"


Row = tuple[Fate, Fate, Fate, Fate]
"""The fate of a field at the levels 0, 1, 2 and 3."""

_Y, _H, _N = Fate.KEPT, Fate.HASHED, Fate.REMOVED

# fmt: off
FIELDS: Mapping[str, Row] = {
    # what every record is made of
    "procedure_id":             (_Y, _Y, _Y, _Y),
    "factor_a":                 (_Y, _Y, _Y, _Y),
    "factor_b":                 (_Y, _Y, _Y, _Y),
    "factor_c":                 (_Y, _Y, _Y, _Y),
    "clearing_level":           (_Y, _Y, _Y, _Y),
    "anchor_fingerprint":       (_Y, _Y, _Y, _Y),
    "anchor_epoch":             (_Y, _Y, _Y, _Y),
    "fingerprint_timestamp_ms": (_Y, _Y, _Y, _Y),
    # content
    "ai_model_id":              (_Y, _Y, _Y, _H),  # of an inference; of others MODEL_OF_OTHERS
    "ai_prompt_hash":           (_Y, _Y, _Y, _N),
    "ai_response_hash":         (_Y, _Y, _Y, _N),
    "ai_system_prompt_hash":    (_Y, _Y, _N, _N),
    "ai_latency_ms":            (_Y, _Y, _N, _N),
    "ai_input_tokens":          (_Y, _Y, _N, _N),
    "ai_output_tokens":         (_Y, _Y, _N, _N),
    "ai_context":               (_Y, _Y, _N, _N),  # and inside of it as IN_CONTEXT says
    # operational: a ledger needs these to route, verify and judge
    "agent_id":                 (_Y, _Y, _Y, _Y),
    "cycle_id":                 (_Y, _Y, _Y, _Y),
    "payload_signature":        (_Y, _Y, _Y, _Y),
    "signing_algorithm":        (_Y, _Y, _Y, _Y),
    "signing_key_id":           (_Y, _Y, _Y, _Y),
    "signing_key_version":      (_Y, _Y, _Y, _Y),
    "policy_version_hash":      (_Y, _Y, _Y, _Y),
    "jurisdiction":             (_Y, _Y, _Y, _Y),
    "legal_basis":              (_Y, _Y, _Y, _Y),
    "purpose_class":            (_Y, _Y, _Y, _Y),
    "authorization_id":         (_Y, _Y, _Y, _Y),
    "authorization_expires":    (_Y, _Y, _Y, _Y),
    "authorization_scope":      (_Y, _Y, _Y, _Y),
    "references":               (_Y, _Y, _Y, _Y),
    "revocation_target":        (_Y, _Y, _Y, _Y),
    "revocation_reason":        (_Y, _Y, _Y, _Y),
    "lifecycle_chain_id":       (_Y, _Y, _Y, _Y),
    "lifecycle_parent":         (_Y, _Y, _Y, _Y),
    "lifecycle_stage":          (_Y, _Y, _Y, _Y),
    "escalation_chain_id":      (_Y, _Y, _Y, _Y),
    "witness_source":           (_Y, _Y, _Y, _Y),
}

MODEL_OF_OTHERS: Row =          (_Y, _Y, _N, _N)
"""``ai_model_id`` where it names hardware, a file or a tool: in all anchors but ``INFERENCE``."""

UNLISTED: Row =                 (_Y, _Y, _N, _N)
"""Any other field: it may be content that nobody has classified, so it goes with the context."""

IN_CONTEXT: Mapping[str, Row] = {
    "file_path":                (_H, _H, _N, _N),
    "hostname":                 (_H, _H, _N, _N),
    "host_name":                (_H, _H, _N, _N),
    "serial":                   (_H, _H, _N, _N),
    "serial_number":            (_H, _H, _N, _N),
    "gpu_serial":               (_H, _H, _N, _N),
    "board_serial":             (_H, _H, _N, _N),
    "bus_id":                   (_H, _H, _N, _N),
    "uuid":                     (_H, _H, _N, _N),
    "sandbox_id":               (_Y, _H, _N, _N),  # to 12 digits, and at the top only
    "guardrails":               (_Y, _Y, _N, _N),  # drop_guardrail_names: not at 1
}
# fmt: on

INFERENCE = frozenset(
    {"AI-INF.1", "AI-INF.2", "AI-INF.3", "AI-MDL.1", "AI-MDL.2", "AI-GRD.1", "AI-GRD.2", "AI-ID.1"}
)
"""The anchors of an inference: only these say at level 2 which model it was, at 3 its hash."""

KEPT_THROUGH: Mapping[str, int] = {
    name: max(level for level, fate in enumerate(row) if fate is Fate.KEPT)
    for name, row in FIELDS.items()
}
"""The highest level at which a field still travels as it is."""

_FIRST_OPERATIONAL = list(FIELDS).index("agent_id")
OPERATIONAL_FIELDS = tuple(FIELDS)[_FIRST_OPERATIONAL:]

_CONTENT = 1  # the last level at which content travels that nobody has classified

_UNTOUCHED = tuple(
    frozenset(name for name, row in FIELDS.items() if row[level] is Fate.KEPT)
    - {"ai_context", "ai_model_id"}
    for level in range(MAX_LEVEL + 1)
)
_RAW_IDENTIFIERS = frozenset(name for name, row in IN_CONTEXT.items() if row[0] is Fate.HASHED)

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
    changed: list[str] = []
    untouched = _UNTOUCHED[level]
    procedure = payload.get("procedure_id")
    for name, value in payload.items():
        if name in untouched or value is None:  # null says nothing
            continue
        if name == "ai_model_id":
            kept, names = _cleared_model_id(procedure, value, level), [name]
        elif FIELDS.get(name, UNLISTED)[level] is Fate.REMOVED:
            kept, names = None, [name]
        elif name == "ai_context":
            kept, names = _cleared_context(value, level, drop_guardrail_names)
        else:
            continue
        if kept is None:
            del cleared[name]
        elif kept == value:
            continue
        else:
            cleared[name] = kept
        changed += names
    return cleared, tuple(changed)


def _cleared_model_id(procedure: object, value: object, level: int) -> object:
    """The model id as it may travel; None where it may not."""
    fate = (FIELDS["ai_model_id"] if procedure in INFERENCE else MODEL_OF_OTHERS)[level]
    if fate is Fate.REMOVED or (level > _CONTENT and not isinstance(value, str)):
        return None
    if fate is Fate.KEPT or _CONTENT_HASH.fullmatch(str(value)):
        return value
    return content_hash(str(value))


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
    if isinstance(cleared, dict):
        if "sandbox_id" in cleared and IN_CONTEXT["sandbox_id"][level] is Fate.HASHED:
            sandbox = str(cleared.pop("sandbox_id"))
            cleared.setdefault("sandbox_id_hash", content_hash(sandbox)[:12])
            changed.append("ai_context.sandbox_id")
        if level == _CONTENT and drop_guardrail_names and "guardrails" in cleared:
            del cleared["guardrails"]
            changed.append("ai_context.guardrails")
    return cleared, changed


def _cleared_context_text(
    text: str, level: int, drop_guardrail_names: bool
) -> tuple[object, list[str]]:
    """Some producers send the context as JSON inside a text: the rules reach into it too."""
    raw = text.encode(errors="surrogatepass")
    try:
        context = strict_json.loads(raw, max_bytes=len(raw))
    except FormatError:
        return (text, []) if _is_no_json(text, raw) else (None, ["ai_context"])
    if not isinstance(context, (dict, list)):
        return text, []
    cleared, changed = _cleared_context(context, level, drop_guardrail_names)
    return (json.dumps(cleared, separators=(",", ":")) if changed else text), changed


def _is_no_json(text: str, raw: bytes) -> bool:
    """Whether no reader takes it for JSON: a lenient one could find in it what the rules did not,
    for instance in the first of two equal keys."""
    try:
        strict_json.check_depth(raw)
        json.loads(text)
    except FormatError:
        return False
    except ValueError:
        return True
    return False


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
