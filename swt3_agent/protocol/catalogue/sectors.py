"""Procedures of one sector: energy (ADR) and health care (HCF)."""

from swt3_agent.protocol.catalogue.entry import CatalogueEntry, Trigger

ENTRIES = (
    CatalogueEntry(
        "ADR-BASE.1",
        "Baseline consumption",
        "measured consumption as a baseline of demand response",
        "NERC MOD-031; FERC Order 2222",
        Trigger.SCHEDULE,
    ),
    CatalogueEntry(
        "ADR-EVENT.1",
        "Demand response event",
        "a call for demand response",
        "NERC TOP-001; FERC Order 2222",
        Trigger.EVENT,
    ),
    CatalogueEntry(
        "ADR-CURT.1",
        "Curtailment verification",
        "load that was shed as agreed",
        "NERC TOP-001; FERC Order 2222",
        Trigger.EVENT,
    ),
    CatalogueEntry(
        "ADR-GRID.1",
        "Grid signal correlation",
        "a signal of the grid and the answer to it",
        "NERC BAL-001",
        Trigger.EVENT,
    ),
    CatalogueEntry(
        "ADR-SETTLE.1",
        "Settlement data",
        "data by which demand response is paid",
        "NERC BAL-005; FERC Order 2222",
        Trigger.EVENT,
    ),
    CatalogueEntry(
        "ADR-CARBON.1",
        "Carbon credit",
        "a carbon credit or renewable energy certificate",
        "EU Clean Energy Package Art. 17",
        Trigger.EVENT,
    ),
    CatalogueEntry(
        "ADR-VOLT.1",
        "Autonomous voltage regulation",
        "an autonomous regulation of voltage",
        "IEEE 1547; NERC FAC-001",
        Trigger.EVENT,
    ),
    CatalogueEntry(
        "HCF-DX.1",
        "Diagnostic accountability",
        "a diagnostic output and who answers for it",
        "FDA AI/ML SaMD; EU MDR",
        Trigger.INFERENCE,
    ),
    CatalogueEntry(
        "HCF-RX.1",
        "Prescription safety",
        "a check of a prescription for interactions",
        "FDA AI/ML SaMD; EU MDR",
        Trigger.EVENT,
    ),
    CatalogueEntry(
        "HCF-PRIV.1",
        "PHI access audit",
        "an access to protected health information",
        "HIPAA 45 CFR 164.312(b)",
        Trigger.EVENT,
    ),
)
