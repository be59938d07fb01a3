"""Whether the gapless counter stands where the log says, told after any interruption.

Each step is announced, certified, taken and certified again (docs/formats.md, "Counter"), so that
the log explains every value the counter can have: the last one that it states, or one more where an
announced step was interrupted. Anything else is a finding, and the log goes on from what is there.
"""

from dataclasses import dataclass, replace

from swt3_agent.protocol.evidence import Reason


@dataclass(frozen=True, slots=True)
class StatedCounter:
    """What the log says of the counter: NV ``index``, its ``name``, and the newest ``value``.

    ``promised``: the step to ``value`` + 1 is announced and certified before, and not after: it has
    happened or not. ``redefined``: that it is defined anew is announced, and with which value it
    then begins is not told yet.
    """

    index: int
    name: bytes
    value: int
    promised: bool = False
    redefined: bool = False


@dataclass(frozen=True, slots=True)
class PresentCounter:
    """What the TPM says of it. ``defined``: the index is new, its value follows no other; where it
    has none yet, and no Name, ``value`` is None: it is about to be defined."""

    index: int
    name: bytes
    value: int | None
    defined: bool = False


def to_define(index: int) -> PresentCounter:
    """The counter that is not there and is defined next."""
    return PresentCounter(index, b"", None, defined=True)


def take_up(
    stated: StatedCounter | None, present: PresentCounter
) -> tuple[StatedCounter | None, tuple[Reason, ...]]:
    """From where the log goes on, and what it does not explain.

    ``stated`` is None where the log says nothing of a counter yet.
    """
    if present.value is None:
        return _taken_up_without_value(stated, present)
    now = StatedCounter(present.index, present.name, present.value)
    if stated is None:
        return now, ()
    if present.value < stated.value:
        return now, (_fell(stated, present),)
    if stated.redefined:
        return now, ()
    if (present.index, present.name) != (stated.index, stated.name):
        return now, (_redefined(stated, present),)
    if present.value == stated.value:
        return stated, ()
    if present.defined:
        return now, (_redefined(stated, present),)
    if stated.promised and present.value == stated.value + 1:
        return now, ()
    return now, (_gap(stated, present),)


def _taken_up_without_value(
    stated: StatedCounter | None, present: PresentCounter
) -> tuple[StatedCounter | None, tuple[Reason, ...]]:
    if stated is None or stated.redefined:
        return stated, ()
    return replace(stated, redefined=True), (_redefined(stated, present),)


def certified(stated: StatedCounter, value: int, *, step_follows: bool) -> StatedCounter:
    """What the log says after a certificate of ``value``, before or after the step."""
    return replace(stated, value=value, promised=step_follows)


def _gap(stated: StatedCounter, present: PresentCounter) -> Reason:
    explained = f"{stated.value} or {stated.value + 1}" if stated.promised else str(stated.value)
    return Reason(
        "COUNTER_GAP",
        f"the counter {present.index:08x} is at {present.value}, and the log explains {explained}",
        "somebody else incremented it, or this log is an older copy: find the newer one; a verifier"
        " reports this gap for good",
    )


def _fell(stated: StatedCounter, present: PresentCounter) -> Reason:
    return Reason(
        "COUNTER_FELL",
        f"the counter {present.index:08x} is at {present.value}, and it was at {stated.value}",
        "the TPM is another one, or a virtual one that was set back: treat the node as tampered"
        " with until you know",
    )


def _redefined(stated: StatedCounter, present: PresentCounter) -> Reason:
    begins = "is defined next" if present.value is None else f"begins at {present.value}"
    return Reason(
        "COUNTER_REDEFINED",
        f"the log's counter {stated.index:08x} was at {stated.value} and is gone; the counter"
        f" {present.index:08x} {begins}",
        "find out who deleted it, unless you cleared the TPM or set agent.tpm.counter yourself",
    )
