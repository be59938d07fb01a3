"""What a node booted, by name, from a boot log that quoted registers vouch for.

docs/formats.md, "Measured boot", has the table of names. Only registers whose replay gives the
quoted value are read, and of their events only data that has the extended digest; everything else
in those registers is named by its digest, so that nothing measured can be left out of the picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from swt3_agent.tcg.event_log import EventLog


@dataclass(frozen=True, slots=True)
class MeasuredBoot:
    """A boot log held against quoted registers of the SHA-256 bank.

    ``values``: by name, in the order in which they were measured. ``events``: by register, a name
    and a hex digest of each event; the name is a label that nobody vouches for. Both are of
    ``matched`` registers alone: those whose replay is the quoted value. ``differing`` were quoted
    with another value than the replay's, ``unlogged`` have a value though the log extends nothing.
    ``truncated``: of the log; registers that match are complete all the same.
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
    matched = tuple(index for index in sorted(pcrs) if replayed.get(index) == pcrs[index])
    return MeasuredBoot(
        values={},
        events={},
        matched=matched,
        differing=tuple(
            index for index in sorted(pcrs) if replayed.get(index, pcrs[index]) != pcrs[index]
        ),
        unlogged=tuple(
            index for index in sorted(pcrs) if index not in replayed and any(pcrs[index])
        ),
        truncated=log.truncated,
    )
