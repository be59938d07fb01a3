"""The boot log, held against the registers that were quoted."""

from collections.abc import Mapping
from dataclasses import dataclass

from swt3_agent.collect.measurement_logs import MeasurementLogs, lack_of
from swt3_agent.errors import AgentError
from swt3_agent.protocol.boot_state import whole_values
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.tcg.event_log import parse_event_log
from swt3_agent.tcg.measured_boot import measured_values


@dataclass(frozen=True, slots=True)
class BootLogReading:
    """What the log told. ``log`` is it as it came, also where it is none; ``measured`` what it says
    of registers that vouch for it (docs/formats.md, "Attachments"); None where there is none."""

    claims: Mapping[str, object]
    log: bytes | None = None
    measured: bytes | None = None


def read_boot_log(logs: MeasurementLogs, pcrs: Mapping[int, bytes]) -> BootLogReading:
    """Read it and replay it to the quoted ``pcrs``, those of other sources left out.

    Firmware and loader have finished it before the agent runs, so nothing can change between the
    quote and this reading.
    """
    log = None
    try:
        log = logs.boot_log()
        parsed = parse_event_log(log)
        boot = measured_values(parsed, pcrs)
    except AgentError as error:
        return BootLogReading(lack_of(error), log)
    claims: dict[str, object] = {
        "lack": None,
        "bytes": len(log),
        "events": len(parsed.events),
        "truncated": boot.truncated,
        "replayed": list(boot.matched),
        "differing": list(boot.differing),
        "unlogged": list(boot.unlogged),
    }
    values = whole_values(boot.values, pcrs, boot.matched, boot.differing)
    measured = {
        "values": {name: list(found) for name, found in values.items()},
        "events": {
            str(index): [list(event) for event in events] for index, events in boot.events.items()
        },
    }
    return BootLogReading(claims, log, canonical_json(measured))
