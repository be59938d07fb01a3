"""The catalogue: every procedure that the agent's profiles name or that it has a rule for.

What the factors mean and when they pass is in :mod:`swt3_agent.protocol.procedures`, for those that
have a public rule. All others are relayed and counted, never judged or minted
(docs/protocol.md 8.5).
"""

from swt3_agent.protocol.catalogue import governance, inference, node, sectors
from swt3_agent.protocol.catalogue.entry import CatalogueEntry, Trigger
from swt3_agent.protocol.procedures import PROCEDURES

__all__ = ["CATALOGUE", "CatalogueEntry", "Trigger", "is_judged"]

CATALOGUE = {
    entry.id: entry for module in (inference, node, governance, sectors) for entry in module.ENTRIES
}
"""Every entry by its id: inference first, then the node, governance and single sectors."""


def is_judged(procedure: str) -> bool:
    """Whether there is a rule by which this agent judges the procedure's factors."""
    return procedure in PROCEDURES
