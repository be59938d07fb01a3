"""Boots, resets and counter of a bundle, for a terminal."""

from collections.abc import Iterator, Mapping, Sequence

from swt3_agent.protocol.checkpoint import BOOT_PCRS
from swt3_agent.verify.bundle.boot_state import BootState
from swt3_agent.verify.bundle.history import History
from swt3_agent.verify.moments import utc_text

_SHOWN = 20  # boots and resets that a terminal gets


def boot_lines(boots: Sequence[BootState], history: History) -> list[str]:
    """The section on boots."""
    return ["boots", *_counter(history), *_boots(boots), *_windows(history)]


def _counter(history: History) -> Iterator[str]:
    counter = history.counter
    if counter.last is None:
        yield "  counter     none: every head says ctr=0"
    else:
        index = counter.last.public.index
        yield f"  counter     {counter.value} after {counter.steps} steps, NV index {index:08x}"


def _boots(boots: Sequence[BootState]) -> Iterator[str]:
    before: Mapping[int, bytes] = {}
    for boot in boots[:_SHOWN]:
        run = "no signed head" if boot.resets is None else f"reset count {boot.resets}"
        yield f"  boot        {boot.boot_id}, {run}, {boot.quotes} quotes of the platform"
        yield from _registers(boot.pcrs, before)
        before = boot.pcrs
        if boot.log is not None:
            matched = ", ".join(map(str, boot.log.matched)) or "none"
            yield f"              boot log leads to PCRs {matched}"
        if boot.ima is not None:
            yield (
                f"              IMA log leads to PCR 10 in {boot.ima.entries} entries,"
                f" {boot.ima.violations} of them violations"
            )
        if boot.lacks:
            yield f"              not here: {', '.join(boot.lacks)}"
    if len(boots) > _SHOWN:
        yield f"  boot        {len(boots) - _SHOWN} more: --json lists them"


def _registers(pcrs: Mapping[int, bytes], before: Mapping[int, bytes]) -> Iterator[str]:
    """What was quoted, without what never stands still; of a further boot only what differs."""
    shown = {index: pcrs[index] for index in BOOT_PCRS if index in pcrs}
    changed = {index: value for index, value in shown.items() if before.get(index) != value}
    for index, value in changed.items():
        if any(value):
            yield f"  PCR {index:<8}{value.hex()}"
    if zero := [str(index) for index, value in changed.items() if not any(value)]:
        yield f"  PCRs zero   {', '.join(zero)}"
    if before and shown:
        same = "all" if not changed else "the others"
        yield f"  PCRs        {same} as in the boot before"


def _windows(history: History) -> Iterator[str]:
    for window in history.windows.all[:_SHOWN]:
        since = "at all" if window.first is None else f"since record {window.first - 1}"
        yield (
            f"  reset       of boot {window.boot_id}: no certificate {since}, and records before"
            f" {window.end} may lack, {utc_text(window.from_ms)} to {utc_text(window.to_ms)}"
        )
