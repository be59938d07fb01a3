"""Verdict rules: what a procedure's factors mean and when they pass (docs/protocol.md 8).

A verdict is computed by whoever receives an anchor and never travels in the payload. These are
the rules by which this agent judges; a ledger may judge otherwise, and its receipt is then kept
beside ours. Procedures without a rule here are relayed, never judged and never minted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from swt3_agent.protocol.fingerprint import Factor


class Verdict(Enum):
    """The two verdicts that the wire knows (docs/protocol.md 2)."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Procedure:
    """One procedure: what the factors a, b, c mean, and the condition under which they pass."""

    id: str
    factors: tuple[str, str, str]
    passes: Callable[[Factor, Factor, Factor], bool]


def judge(procedure: str, a: Factor, b: Factor, c: Factor) -> Verdict | None:
    """The verdict on three factors, or None for a procedure without a rule.

    Factors are those of a validated witness: integers or finite doubles. A ratio over nothing
    (a = 0) fails.
    """
    rule = PROCEDURES.get(procedure)
    if rule is None:
        return None
    return Verdict.PASS if rule.passes(a, b, c) else Verdict.FAIL


def _at_least(share: float) -> Callable[[Factor, Factor, Factor], bool]:
    return lambda a, b, _c: a > 0 and b / a >= share


_ALL = (
    Procedure(
        "AI-INF.1",
        ("required", "prompt and response hashes present", "0"),
        lambda a, b, _c: b >= a,
    ),
    Procedure(
        "AI-INF.2",
        ("threshold ms", "latency ms", "over threshold"),
        lambda a, b, _c: b <= a,
    ),
    Procedure(
        "AI-INF.3",
        ("allowed an hour", "actual", "0"),
        lambda a, b, _c: b <= a,
    ),
    Procedure(
        "AI-MDL.1",
        ("required", "running weights equal the approved digest", "0"),
        lambda a, b, _c: b >= a,
    ),
    Procedure(
        "AI-MDL.2",
        ("required", "model id present", "0"),
        lambda a, b, _c: b >= a,
    ),
    Procedure(
        "AI-MDL.5",
        ("required", "file digest equals the approved one", "lifecycle stage"),
        lambda _a, b, _c: b == 1,
    ),
    Procedure(
        "AI-MDL.6",
        ("adapters", "every adapter digest equals the approved one", "0"),
        lambda _a, b, _c: b == 1,
    ),
    Procedure(
        "AI-MDL.7",
        ("required", "method known and borne out", "method code"),
        lambda _a, b, _c: b > 0,
    ),
    Procedure(
        "AI-HW.1",
        ("accelerators", "healthy and complete", "topology code"),
        lambda a, b, _c: a > 0 and b == 1,
    ),
    Procedure(
        "AI-HW.3",
        ("PCRs in the verified quote", "quote verified and policy holds", "TPM kind"),
        lambda _a, b, _c: b == 1,
    ),
    Procedure(
        "AI-GRD.1",
        ("guardrails required", "active", "all passed"),
        lambda a, b, _c: b >= a,
    ),
    Procedure(
        "AI-GRD.2",
        ("required", "no refusal", "refusal"),
        lambda a, b, _c: b >= a,
    ),
    Procedure(
        "AI-GRD.3",
        ("required", "active", "passed"),
        lambda a, b, c: b >= a and c == 1,
    ),
    Procedure(
        "AI-TOOL.1",
        ("required", "latency ms", "success"),
        lambda _a, _b, c: c == 1,
    ),
    Procedure(
        "AI-ACC.1",
        ("required", "within scope", "granted"),
        lambda _a, b, c: b == 1 and c == 1,
    ),
    Procedure(
        "AI-DRIFT.1",
        ("metrics", "drifted", "type"),
        lambda _a, b, _c: b == 0,
    ),
    Procedure("AI-REDTEAM.1", ("tests", "passed", "category"), _at_least(0.8)),
    Procedure(
        "AI-SBOM.1",
        ("components", "minimum element clusters present", "format"),
        lambda a, b, _c: a > 0 and b >= 3,
    ),
    Procedure(
        "AI-MARK.1",
        ("items", "metadata attached", "content type"),
        lambda a, _b, _c: a > 0,
    ),
    Procedure(
        "AI-AUDIT.1",
        ("entries checked", "verified", "format"),
        lambda _a, b, _c: b == 1,
    ),
    Procedure(
        "AI-DATA.1",
        ("required", "governance reviewed", "0"),
        lambda a, b, _c: b >= a,
    ),
    Procedure(
        "AI-ID.1",
        ("required", "agent id present", "0"),
        lambda a, b, _c: b >= a,
    ),
    Procedure(
        "AI-BASE.1",
        ("dimensions", "within baseline", "mode"),
        lambda _a, b, c: b == 1 or c in (0, 3),
    ),
    Procedure(
        "AI-CONSENT.1",
        ("subjects", "legal basis", "withdrawal"),
        lambda a, _b, _c: a > 0,
    ),
    Procedure(
        "AI-EXPL.1",
        ("required", "explanation provided", "0"),
        lambda a, b, _c: b >= a,
    ),
    Procedure(
        "AI-SAFE.1",
        ("required", "mechanism present", "confirmed"),
        lambda _a, b, c: b == 1 and c == 1,
    ),
    Procedure("AI-ROBUST.1", ("tested", "survived", "type"), _at_least(0.9)),
    Procedure(
        "AI-CHAIN.1",
        ("depth", "cycle bound", "accepted"),
        lambda _a, _b, c: c == 1,
    ),
    Procedure(
        "AI-ENV.1",
        ("temperature C", "threshold C", "within threshold"),
        lambda _a, _b, c: c == 1,
    ),
    Procedure(
        "AI-ENV.2",
        ("power W", "headroom W", "throttled"),
        lambda _a, b, c: b > 0 and c == 0,
    ),
    Procedure("AI-REV.1", ("1", "1", "reason code"), lambda _a, _b, _c: True),
    Procedure(
        "AI-LOG.1",
        ("expected", "logged", "retention days"),
        lambda a, b, _c: b >= a,
    ),
    Procedure("AI-SAMPLE.1", ("skipped", "0", "0"), lambda _a, _b, _c: True),
    Procedure(
        "AI-SHELL.1",
        ("runtime code", "no violations", "violations"),
        lambda _a, b, _c: b == 1,
    ),
)

PROCEDURES = {procedure.id: procedure for procedure in _ALL}
