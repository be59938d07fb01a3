"""boot_aggregate: the entry that ties an IMA log to the boot it grew in."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

from swt3_agent.errors import FormatError

AGGREGATED = range(10)
"""PCRs that the kernel hashes into it, other than for SHA-1 (Linux 5.8 and later)."""


def boot_aggregate(pcrs: Mapping[int, bytes]) -> bytes:
    """SHA-256 over PCRs 0 to 9. Raises FormatError IMA_LOG_PCRS where one of them is missing."""
    missing = [index for index in AGGREGATED if index not in pcrs]
    if missing:
        raise FormatError(
            "IMA_LOG_PCRS",
            f"the boot aggregate covers PCRs 0 to 9, and no value is given for {missing}",
            remedy="quote PCRs 0 to 9 with PCR 10",
        )
    return sha256(b"".join(pcrs[index] for index in AGGREGATED)).digest()


def check_boot_aggregates(aggregates: Iterable[str], pcrs: Mapping[int, bytes]) -> int:
    """How many of a replay's ``aggregates`` are those of ``pcrs``; 0: none is a SHA-256.

    A SHA-1 aggregate is over the SHA-1 bank, which nobody quotes: it says nothing here.
    Raises FormatError IMA_LOG_BOOT_AGGREGATE where one is of another boot, IMA_LOG_PCRS.
    """
    expected = f"sha256:{boot_aggregate(pcrs).hex()}"
    known = [digest for digest in aggregates if digest.startswith("sha256:")]
    for digest in known:
        if digest != expected:
            raise FormatError(
                "IMA_LOG_BOOT_AGGREGATE",
                f"the IMA log began with {digest} over PCRs 0 to 9, which now give {expected}",
                remedy="find out what extended a boot PCR after the kernel started, or whose log"
                " this is",
            )
    return len(known)
