"""The counter: whether it is stepped, and for how long the TPM's memory stands that."""

from collections.abc import Iterator
from typing import Any

from swt3_agent.config import NO_TPM, Config
from swt3_agent.daemon.doctor.finding import Finding, failure, good, warning

_YEAR_S = 365 * 24 * 3600
_RATED = 500_000  # writes that makers of TPMs give for an NV index
_YEARS = 5


def check_counter(config: Config, shown: dict[str, Any] | None) -> Iterator[Finding]:
    """What hinders the counter of ``config``; ``shown`` is what `status` says of it, None where no
    daemon runs, or where it counts nothing."""
    subject = "counter"
    if config.tpm.tcti == NO_TPM:
        return
    if config.counter_index is None:
        detail = "the settings want none: what a reset dropped from the log would not show"
        yield warning(subject, "COUNTER_NONE", detail, "leave agent.tpm.counter out")
        return
    error = None if shown is None else shown["error"]
    if error is not None:
        yield failure(subject, error["code"], error["detail"], error["remedy"])
    interval_s = config.intervals.counter
    writes = round(_YEAR_S / interval_s)
    if writes * _YEARS > _RATED:
        yield warning(
            subject,
            "COUNTER_WEAR",
            f"a step every {interval_s:g} s is {writes:,} writes a year, and parts are rated for"
            f" some {_RATED:,}",
            "raise agent.intervals.counter, say to 900",
        )
    elif error is None and shown is not None and shown["value"] is not None:
        yield good(subject, f"at {shown['value']}, {writes:,} steps a year")
