"""Quotes and logs of boots as members of a bundle, and a word on each that is left out."""

from collections.abc import Iterable

from swt3_agent.errors import JournalError
from swt3_agent.protocol.bundle import MAX_MEMBER, Member, Omission
from swt3_agent.protocol.bundle_evidence import log_name
from swt3_agent.store.bundle.boots import LogFile
from swt3_agent.store.bundle.writer import BundleWriter
from swt3_agent.store.evidence_store import EvidenceStore

_MOST_SAID = 50


def write_logs(
    writer: BundleWriter, evidence: EvidenceStore, logs: Iterable[LogFile]
) -> tuple[list[Member], list[Omission]]:
    """Write each log once, by name; what is lost or too large is said and not written.

    Raises AgentError as the writer does.
    """
    members: list[Member] = []
    omitted: list[Omission] = []
    for name, log in sorted({log_name(log.digest, log.kind): log for log in logs}.items()):
        try:
            data = evidence.get(log.digest)
        except (JournalError, ValueError):
            omitted.append(_omission(log, "the file that its record names is lost or damaged"))
            continue
        if len(data) > MAX_MEMBER:
            omitted.append(_omission(log, f"it has {len(data)} bytes, {MAX_MEMBER} is the most"))
            continue
        members.append(writer.add(name, data))
    if (more := len(omitted) - _MOST_SAID) > 0:
        omitted = [*omitted[:_MOST_SAID], Omission("logs", f"{more} further ones are lost")]
    return members, omitted


def _omission(log: LogFile, why: str) -> Omission:
    return Omission(f"{log.kind} of boot {log.boot_id}", why)
