"""The boot state of one reading of the platform, and the reference values that would accept it.

A register is judged by its exact value, or by values read from a boot log that replays to it
(:mod:`swt3_agent.protocol.reference_names`).
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from swt3_agent.errors import FormatError, UsageError
from swt3_agent.protocol.claims import Claims
from swt3_agent.protocol.evidence import Evidence
from swt3_agent.protocol.reference import Measured, Reference
from swt3_agent.protocol.reference_names import DESCRIBED, described_by
from swt3_agent.protocol.strict_json import MALFORMED

IMA_PCR = 10
NOTHING = "(none)"
"""The value of a name for which a register that is vouched for holds nothing: a reference has it
too, so that what appears there later is a change."""


@dataclass(frozen=True, slots=True)
class BootState:
    """What a node quoted and measured.

    ``pcrs`` are the quoted registers that can be compared: neither the agent's own nor IMA's,
    which never stand still. ``values`` by name, and ``events`` by register, are of a boot log that
    replays to them; ``values`` None: no log could be read.
    """

    pcrs: Mapping[int, bytes]
    values: Mapping[str, tuple[str, ...]] | None = None
    events: Mapping[int, tuple[Measured, ...]] = field(default_factory=dict)

    def reference(
        self, exact: Collection[int] | None = None, without: Collection[str] = ()
    ) -> Reference:
        """What would accept this state and no other: all values, and the registers that they do
        not describe as they are.

        ``exact``: these registers as they are, and nothing else. ``without``: registers (as text)
        and names of values to leave out. Raises UsageError PCR_NOT_COMPARED for a register that is
        not among ``pcrs``, FormatError REFERENCE_EMPTY, REFERENCE_INVALID.
        """
        for index in exact or ():
            if index not in self.pcrs:
                raise _not_compared(index, self.pcrs)
        if exact is not None:
            registers, values = set(exact), {}
        else:
            values = {n: seen for n, seen in (self.values or {}).items() if n not in without}
            by_values = described_by(self.values or {})
            registers = {
                index for index in self.pcrs if index not in by_values and str(index) not in without
            }
        return Reference(
            pcrs={index: (self.pcrs[index].hex(),) for index in sorted(registers)},
            values=values,
            events={i: self.events[i] for i in sorted(registers) if i in self.events},
        )

    def unjudged(self, reference: Reference) -> tuple[int, ...]:
        """Registers that ``reference`` says nothing of, or not all."""
        return reference.unjudged(self.pcrs)


def whole_values(
    values: Mapping[str, tuple[str, ...]],
    pcrs: Mapping[int, bytes],
    matched: Collection[int],
    differing: Collection[int],
) -> dict[str, tuple[str, ...]]:
    """``values`` of a boot log, with every name of the registers that are vouched for.

    Those are the ``matched`` ones, which the log leads to, and those that are zero and of which it
    tells nothing: nothing was measured into them.
    """
    untouched = {index for index, value in pcrs.items() if not any(value)}
    vouched = {*matched, *untouched} - {*differing}
    names = (name for index in sorted(vouched) for name in DESCRIBED.get(index, ()))
    return {**values, **{name: (NOTHING,) for name in names if name not in values}}


class _Measured(msgspec.Struct):
    values: dict[str, tuple[str, ...]] = {}
    events: dict[int, tuple[tuple[str, str], ...]] = {}


def boot_state(reading: Evidence) -> BootState:
    """The state that a verified reading of the platform tells of.

    Raises FormatError MEASURED_BOOT where what came with it cannot be read.
    """
    measured = reading.attachments.get("measured-boot")
    quote = reading.claims.get("quote")
    pcrs = comparable(quote if isinstance(quote, Mapping) else {}, reading.claims)
    if measured is None:
        return BootState(pcrs)
    try:
        read = msgspec.json.decode(measured, type=_Measured)
    except MALFORMED as error:
        raise FormatError(
            "MEASURED_BOOT",
            f"what the boot log told cannot be read: {error}",
            remedy="report it: the agent wrote this itself",
        ) from error
    return BootState(pcrs, read.values, read.events)


def comparable(quote: Claims, claims: Claims) -> dict[int, bytes]:
    """The quoted registers but for the agent's own and IMA's."""
    quoted = quote.get("pcrs")
    moving = (IMA_PCR, claims.get("log_pcr"))
    found = {}
    for key, value in (quoted if isinstance(quoted, Mapping) else {}).items():
        with suppress(ValueError):  # what is no register cannot be compared either
            found[int(key)] = bytes.fromhex(str(value))
    return {index: value for index, value in found.items() if index not in moving}


def _not_compared(index: int, pcrs: Collection[int]) -> UsageError:
    return UsageError(
        "PCR_NOT_COMPARED",
        f"PCR {index} is not quoted, or never stands still",
        remedy=f"name some of {', '.join(map(str, sorted(pcrs)))}",
    )
