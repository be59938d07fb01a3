"""Reading claims without trusting their shape.

Claims come from child processes and stored evidence. What is missing or of another type reads as
empty or zero, and the appraisal rules are written so that empty and zero count against the node.
"""

from collections.abc import Mapping

from swt3_agent.protocol.evidence import Reason

Claims = Mapping[str, object]

UNSPECIFIED = "UNSPECIFIED"  # the code of a finding that carries none


def count_claim(claims: Claims, key: str) -> int:
    """A count; 0 where there is none, or where it is no non-negative integer."""
    value = claims.get(key)
    return value if type(value) is int and value >= 0 else 0


def text_claim(claims: Claims, key: str) -> str:
    """A text; empty where there is none."""
    value = claims.get(key)
    return value if isinstance(value, str) else ""


def entries_claim(claims: Claims, key: str) -> tuple[Claims, ...]:
    """The objects of a list; empty where there is no list."""
    value = claims.get(key)
    if not isinstance(value, (list, tuple)):
        return ()
    return tuple(entry for entry in value if isinstance(entry, Mapping))


def reasons_claim(claims: Claims, key: str) -> tuple[Reason, ...]:
    """Findings ``{"code", "detail", "remedy"?}`` as reasons.

    Anything that stands there in another shape is a finding all the same.
    """
    value = claims.get(key)
    if value is None:
        return ()
    findings = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(_reason(finding) for finding in findings)


def _reason(finding: object) -> Reason:
    if not isinstance(finding, Mapping):
        return Reason(UNSPECIFIED, str(finding))
    code = text_claim(finding, "code") or UNSPECIFIED
    detail = text_claim(finding, "detail") or str(dict(finding))
    return Reason(code, detail, text_claim(finding, "remedy"))
