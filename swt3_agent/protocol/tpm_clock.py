"""By how much the node's clock and the TPM's may part, and how far the TPM's may fall.

docs/formats.md, "What a signed head proves": what a node says of itself, and what a verifier holds
against it, is judged by the same numbers.
"""

STEP_MS = 60_000
"""By how much the clocks may part before it is said: what a start without network time does."""
DRIFT = 32
"""A TPM's clock may be off by one part in so many, beyond ``STEP_MS``."""
CLOCK_LAG_MS = 2**22
"""How far a TPM's clock may fall back over an unclean stop (TPM_PT_CLOCK_UPDATE)."""


def tolerance_ms(elapsed_ms: int) -> int:
    """By how much UTC minus the TPM's clock may change unsaid while that runs on so far."""
    return STEP_MS + max(elapsed_ms, 0) // DRIFT


def lag_ms(resets_before: int, resets: int) -> int:
    """How far the TPM's clock may fall from one reset count to another: not at all without."""
    return CLOCK_LAG_MS if resets != resets_before else 0
