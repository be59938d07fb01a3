"""Findings of the boot that runs now, from before this start: a restart must not wash them off.

Each BOOT record counts in ``earlier`` what was found in its boot before it; what was found since
is in its own ``findings`` and in the provenance of the quotes after it.
"""

from collections import Counter
from collections.abc import Mapping

import msgspec

from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Journal

MOST_HEADS = 1000
"""Looked at, newest first: a start must not read the whole log."""


class _Finding(msgspec.Struct):
    code: str


class _Boot(msgspec.Struct):
    boot_id: str
    findings: list[_Finding] = []
    earlier: dict[str, int] = {}


class _QuoteProvenance(msgspec.Struct):
    findings: list[str] = []


def count_earlier_findings(journal: Journal, catalogue: Catalogue, boot_id: str) -> dict[str, int]:
    """How often each code was found in this boot up to now, at least. Raises JournalError."""
    seq = catalogue.last_of_kind(Kind.BOOT)
    if seq is None:
        return {}
    try:
        boot = msgspec.json.decode(journal.read(seq).payload, type=_Boot)
        if boot.boot_id != boot_id:
            return {}
        counts = Counter(boot.earlier)
        counts.update(finding.code for finding in boot.findings)
        for head in catalogue.heads(newest=MOST_HEADS):
            if head.quote_seq is not None and head.quote_seq > seq:
                provenance = journal.read(head.quote_seq).provenance
                counts.update(msgspec.json.decode(provenance, type=_QuoteProvenance).findings)
    except MALFORMED:  # `fsck` says what is wrong with it
        return {}
    return dict(counts)


def earlier_findings_view(counts: Mapping[str, int]) -> list[dict[str, str]]:
    """``counts`` in the form of the findings of ``status``."""
    return [
        {"code": code, "detail": f"{count}× in this boot before; see `swt3-agent log`"}
        for code, count in sorted(counts.items())
    ]
