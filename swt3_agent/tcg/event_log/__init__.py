"""TCG boot event logs: what firmware and boot loaders say they extended the PCRs with.

A log is a claim by whoever hands it over. It counts as far as its replay equals quoted registers,
and beyond the digests only where an event's data has the digest that was extended
(docs/formats.md, "Measured boot").

log           a log that was read, and its replay; of ``events``
parse         what firmware writes
decode        the data of an event: its ``content``, with ``device_path``; read by ``cursor``
coverage      how much of it the digest is over
"""

from swt3_agent.tcg.event_log.coverage import Coverage, coverage
from swt3_agent.tcg.event_log.decode import decode
from swt3_agent.tcg.event_log.events import Event, EventType
from swt3_agent.tcg.event_log.log import EventLog
from swt3_agent.tcg.event_log.parse import MAX_EVENTS, MAX_LOG, parse_event_log

__all__ = [
    "MAX_EVENTS",
    "MAX_LOG",
    "Coverage",
    "Event",
    "EventLog",
    "EventType",
    "coverage",
    "decode",
    "parse_event_log",
]
