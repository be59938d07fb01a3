"""IMA measurement logs: what the kernel measured since boot (docs/formats.md, "Measured boot").

A log counts as far as its replay reaches the quoted PCR 10. The register moves on while log and
quote are taken, so that a prefix of the log that reaches it is accepted.

parse       what the kernel shows: one ``entry`` after the other, in ASCII each an ``ascii_line``
replay      what they extend PCR 10 to
aggregate   the entry that ties the log to its boot
"""

from swt3_agent.tcg.ima_log.aggregate import boot_aggregate, check_boot_aggregates
from swt3_agent.tcg.ima_log.entry import ImaEntry
from swt3_agent.tcg.ima_log.parse import MAX_IMA_LOG, parse_ima_log
from swt3_agent.tcg.ima_log.replay import (
    Hashing,
    Replayed,
    prefix_reaching,
    reach,
    replay,
)

__all__ = [
    "MAX_IMA_LOG",
    "Hashing",
    "ImaEntry",
    "Replayed",
    "boot_aggregate",
    "check_boot_aggregates",
    "parse_ima_log",
    "prefix_reaching",
    "reach",
    "replay",
]
