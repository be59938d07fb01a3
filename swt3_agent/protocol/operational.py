"""Operational free text at clearing level 3: an allow list of what each field may hold.

These fields travel at every level, since a ledger needs them to route, verify and judge. At level 3
they are therefore the way by which content could leave all the same, and each must look like what
it is for: a name, a code, a hash, and never prose. They may not be changed, so a record with
anything else in one of them is refused (docs/protocol.md 6.2). Standard library only.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from swt3_agent.errors import FormatError
from swt3_agent.protocol.clearing import OPERATIONAL_FIELDS
from swt3_agent.protocol.fingerprint import MAX_SAFE_INTEGER

MOST_REFERENCES = 64
LONGEST_SIGNATURE = 8192  # hex digits; an ML-DSA-65 signature has 6618

_NAME = "[A-Za-z0-9][A-Za-z0-9._:/@+=#-]{0,127}"
_WORD = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

PATTERNS: Mapping[str, str] = {
    "agent_id": _NAME,
    "cycle_id": _NAME,
    "payload_signature": f"[0-9a-fA-F]{{1,{LONGEST_SIGNATURE}}}",
    "signing_algorithm": _WORD,
    "signing_key_id": _NAME,
    "policy_version_hash": "[0-9a-f]{12}",
    "jurisdiction": "[A-Za-z]{2,8}([-_/,][A-Za-z0-9]{1,8}){0,7}",
    "legal_basis": _WORD,
    "purpose_class": _WORD,
    "authorization_id": _NAME,
    "authorization_scope": f"{_WORD}([:/,*][A-Za-z0-9._-]{{0,63}}){{0,7}}",
    "references.fingerprint": "[0-9a-f]{12,64}",
    "references.relationship": _WORD,
    "references.provenance_token": _NAME,
    "revocation_target": _NAME,
    "revocation_reason": _WORD,
    "lifecycle_chain_id": "LC-[0-9a-f]{16}",
    "lifecycle_parent": _NAME,
    "lifecycle_stage": _WORD,
    "escalation_chain_id": _NAME,
    "witness_source": _WORD,
}
"""What each text must match as a whole; an empty one says nothing and may stand anywhere.

A number in one of these fields, and in ``signing_key_version`` and ``authorization_expires``, is of
magnitude up to 2^53 - 1; a record has up to ``MOST_REFERENCES`` references.
"""

_COMPILED = {name: re.compile(pattern) for name, pattern in PATTERNS.items()}


def refuse_free_text(fields: Mapping[str, object]) -> None:
    """Refuse a witness that says in an operational field what level 3 does not let through.

    Fields that are absent or null are in order. Raises FormatError (BAD_FIELD) that names the field
    and never what is in it.
    """
    for name in OPERATIONAL_FIELDS:
        if (fault := _fault(name, fields.get(name))) is not None:
            raise FormatError(
                "BAD_FIELD",
                f"{fault} is not of the form that clearing level 3 allows",
                remedy="use an identifier as docs/protocol.md 6.2 lists it: at this level no free"
                " text",
            )


def without_free_text(fields: Mapping[str, object]) -> dict[str, object]:
    """``fields`` less those for which ``refuse_free_text`` refuses them."""
    return {
        name: value
        for name, value in fields.items()
        if name not in OPERATIONAL_FIELDS or _fault(name, value) is None
    }


def _fault(name: str, value: object) -> str | None:
    """The field, or the member of it, that holds what level 3 does not let through."""
    if value is None:
        return None
    if name == "references":
        return _fault_in_references(value)
    return None if _is_allowed(name, value) else name


def _fault_in_references(references: object) -> str | None:
    if not isinstance(references, (list, tuple)) or len(references) > MOST_REFERENCES:
        return "references"
    for reference in references:
        members = reference if isinstance(reference, Mapping) else {"fingerprint": reference}
        for key, value in members.items():
            name = f"references.{key}"
            if name not in _COMPILED:
                return "references"
            if value is not None and not _is_allowed(name, value):
                return name
    return None


def _is_allowed(name: str, value: object) -> bool:
    if isinstance(value, str):
        return _matches(name, value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_SAFE_INTEGER


@lru_cache(maxsize=4096)
def _matches(name: str, text: str) -> bool:
    pattern = _COMPILED.get(name)
    return pattern is not None and (not text or pattern.fullmatch(text) is not None)
