"""Why custody cannot keep something, and what to do about it."""

import errno
from pathlib import Path

from swt3_agent.errors import JournalError
from swt3_agent.protocol.evidence import Reason
from swt3_agent.store.durable import is_out_of_space

_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

SPOOLED = Reason(
    "CUSTODY_SPOOLED",
    "what clearing removed waits in the state directory for its place in custody",
    "none: it is moved there now; `swt3-agent custody status` says what hinders that",
)


def disk_reason(directory: Path, error: OSError) -> Reason:
    """Why ``directory`` cannot be written: ``CUSTODY_FULL``, ``_DENIED`` or ``_FAILED``."""
    why = error.strerror or str(error)
    if is_out_of_space(error):
        return Reason(
            "CUSTODY_FULL",
            f"there is no room in {directory}: {why}",
            "make room on its file system, or move what custodians have taken over elsewhere",
        )
    if error.errno in _REFUSED:
        return Reason(
            "CUSTODY_DENIED",
            f"{directory} may not be written: {why}",
            "make the directory writable for the agent's user",
        )
    return Reason(
        "CUSTODY_FAILED",
        f"{directory} cannot be written: {why}",
        "mount the volume and make the directory: the agent makes none outside of its state",
    )


def disk_error(directory: Path, error: OSError) -> JournalError:
    """The same for a producer, whose record was not stored."""
    reason = disk_reason(directory, error)
    return JournalError(
        reason.code,
        f"custody cannot take what clearing removes: {reason.detail}",
        remedy=reason.remedy,
        retryable=True,
    )


def stalled(directory: Path) -> Reason:
    """A write has been under way for so long that the volume must be hanging."""
    return Reason(
        "CUSTODY_STALLED",
        f"a write to {directory} does not end",
        "check the volume: a network file system that hangs, or a dying disk",
    )


def too_much_waits(waiting: int) -> JournalError:
    """The queue is full, or closed."""
    return JournalError(
        "CUSTODY_BUSY",
        f"{waiting} bytes wait for custody already",
        remedy="send again a little later",
        retryable=True,
    )
