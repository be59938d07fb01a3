"""What a node booted, by name, from a boot log that quoted registers vouch for.

docs/formats.md, "Measured boot", has the table of names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from swt3_agent.tcg.boot_values import Extend, Loaded, read_values
from swt3_agent.tcg.event_log import EventLog, coverage, decode
from swt3_agent.tcg.event_log.log import BANKS


@dataclass(frozen=True, slots=True)
class MeasuredBoot:
    """A boot log held against quoted registers of the SHA-256 bank.

    ``values``: by name, in the order in which they were measured. ``events``: by register, a name
    and a hex digest of each event; the name is a label that nobody vouches for. Both are of
    ``matched`` registers alone: those whose replay is the quoted value. ``differing`` were quoted
    with another value than the replay's, ``unlogged`` have one though the log extends nothing
    (the log PCR, and PCR 10). ``truncated``: of the log; matched registers are whole all the same.
    """

    values: Mapping[str, tuple[str, ...]]
    events: Mapping[int, tuple[tuple[str, str], ...]]
    matched: tuple[int, ...]
    differing: tuple[int, ...]
    unlogged: tuple[int, ...]
    truncated: bool


def measured_values(log: EventLog, pcrs: Mapping[int, bytes]) -> MeasuredBoot:
    """What ``log`` tells of the boot that quoted ``pcrs`` (SHA-256 bank, verified) are of.

    Raises FormatError EVENT_LOG_BANK where the log has no SHA-256 digests.
    """
    replayed = log.replay("sha256")
    matched = [index for index in sorted(pcrs) if replayed.get(index) == pcrs[index]]
    logged = {event.pcr for event in log.events if event.extended}
    extends = {index: list(_extends(log, index)) for index in matched}
    loaded = Loaded.by(extends.get(8, []))
    return MeasuredBoot(
        values=read_values(extends, loaded),
        events={
            index: tuple((loaded.name(extend.content), extend.digest) for extend in extended)
            for index, extended in extends.items()
        },
        matched=tuple(matched),
        differing=tuple(sorted(pcrs.keys() & logged - set(matched))),
        unlogged=tuple(index for index in sorted(pcrs.keys() - logged) if any(pcrs[index])),
        truncated=log.truncated,
    )


def _extends(log: EventLog, index: int) -> Iterator[Extend]:
    for event in log.events:
        digest = event.digest(BANKS["sha256"])
        if event.pcr == index and event.extended and digest is not None:
            content = decode(event)
            yield Extend(event.type, content, coverage(event, "sha256", content), digest.hex())
