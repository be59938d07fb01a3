"""Which records may leave this node, by what their provenance says of them: pure rules."""

import msgspec

from swt3_agent.protocol.record import Kind

FORWARDABLE = frozenset({Kind.MINTED, Kind.RELAYED})

OTHER_TENANT = "OTHER_TENANT"
LEVEL_RAISED = "LEVEL_RAISED"
"""The node's clearing level was raised after the record was cleared: it holds more than may leave
now."""
UNREADABLE = "UNREADABLE"


class _Provenance(msgspec.Struct):
    tenant: str | None = None
    applied_level: int | None = None


_decode = msgspec.json.Decoder(_Provenance).decode


class Gate:
    """Lets records of ``tenant`` pass that were cleared to ``level`` (0 to 3) at least."""

    def __init__(self, tenant: str, level: int) -> None:
        self._tenant = tenant
        self._level = level
        self._said: bytes | None = None  # records of a batch share their provenance
        self._provenance = _Provenance()

    def withheld(self, kind: Kind, provenance: bytes, declared_level: int) -> str | None:
        """Why a record stays here; None where it may be sent.

        ``declared_level`` is the payload's: that of a minted record is the one it was cleared to.
        A relayed record that does not say how far it was cleared counts as not cleared at all.
        """
        if provenance != self._said:
            try:
                self._provenance = _decode(provenance)
            except (ValueError, RecursionError):  # no JSON, no UTF-8, or of another shape
                return UNREADABLE
            self._said = provenance
        if self._provenance.tenant != self._tenant:
            return OTHER_TENANT
        cleared_to = self._provenance.applied_level
        if cleared_to is None:
            cleared_to = declared_level if kind is Kind.MINTED else 0
        return LEVEL_RAISED if cleared_to < self._level else None
