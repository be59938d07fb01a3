"""Checking a whole state directory: every byte of the log, and the name of any damage."""

from swt3_agent.store.fsck.check import check
from swt3_agent.store.fsck.findings import Finding, Severity

__all__ = ["Finding", "Severity", "check"]
