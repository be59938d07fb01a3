"""Checking a whole state directory: every byte of the log, and the name of any damage.

check       one pass over all records; ``findings``: what it can say
  segments  every record that can be read; ``contents`` of each
  heads     against the records; ``catalogue``: against an index made anew
  keys      what lies beside the log
"""

from swt3_agent.store.fsck.check import check
from swt3_agent.store.fsck.findings import Finding, Severity

__all__ = ["Finding", "Severity", "check"]
