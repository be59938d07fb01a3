"""The baseline: whether the boot state is held against anything, and what of it is not."""

from collections.abc import Iterator
from typing import Any

from swt3_agent.daemon.doctor.finding import Finding, good, warning


def check_baseline(shown: dict[str, Any] | None) -> Iterator[Finding]:
    """What is in force, as `baseline show` has it; ``shown`` None where no daemon runs."""
    subject = "baseline"
    if shown is None:
        return
    in_force, staged = shown["in_force"], shown["staged"]
    if in_force is None:
        detail = "none is in force: the boot state is compared with nothing, and never a PASS"
        yield warning(subject, "NO_BASELINE", detail, "swt3-agent baseline accept --reason TEXT")
        return
    if staged is not None and staged["expired"]:
        yield warning(
            subject,
            "BASELINE_EXPIRED",
            f"the pending update of record {staged['record']} was not confirmed in its time",
            "swt3-agent baseline confirm, or baseline retract --pending",
        )
    if in_force["unjudged"]:
        which = ", ".join(map(str, in_force["unjudged"]))
        detail = f"record {in_force['record']} does not judge PCR {which}, or not wholly"
        yield warning(subject, "REFERENCE_PARTIAL", detail, "accept more, where that is not meant")
        return
    yield good(subject, f"record {in_force['record']} judges every register that is quoted")
