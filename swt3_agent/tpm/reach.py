"""Which TPM a TCTI string means, and whether it is there for us, before any TPM software runs."""

import errno
import os
import re
import socket
import stat
from collections.abc import Mapping

from swt3_agent.errors import TpmError

DEFAULT_TCTI = "device:/dev/tpmrm0"
RESOURCE_MANAGER = "/dev/tpmrm"
CONNECT_TIMEOUT_S = 5.0

_SIMULATORS = ("swtpm", "mssim", "libtpms")
_ABSENT = (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR, errno.ECONNREFUSED)


def is_simulator(tcti: str) -> bool:
    """Whether the TCTI leads to a software TPM by its very name."""
    return tcti.partition(":")[0] in _SIMULATORS


def has_resource_manager(tcti: str) -> bool:
    """Whether what we see in the TPM is only what we loaded ourselves."""
    name, _, argument = tcti.partition(":")
    if name == "device":
        return (argument or RESOURCE_MANAGER).startswith(RESOURCE_MANAGER)
    return name not in _SIMULATORS


def check_reachable(tcti: str) -> None:
    """Raise TpmError TPM_ABSENT, TPM_DENIED, TPM_BUSY or TPM_FAILED where the TPM cannot be had.

    Says nothing about a TCTI other than a device or a swtpm on a Unix socket.
    """
    name, _, argument = tcti.partition(":")
    try:
        if name == "device":
            _try_device(argument or RESOURCE_MANAGER + "0")
        elif name == "swtpm" and (path := _options(argument).get("path")):
            # The control channel: swtpm serves one client at a time on the other.
            _try_socket(f"{path}.ctrl")
    except OSError as error:
        raise _lack(tcti, error) from error


def _try_device(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISCHR(os.fstat(descriptor).st_mode):  # a command would be written into it
            raise OSError(errno.ENOTTY, "it is no character device")
    finally:
        os.close(descriptor)


def _try_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(CONNECT_TIMEOUT_S)
        connection.connect(path)


def _options(argument: str) -> Mapping[str, str]:
    return dict(re.findall(r"([^=,]+)=([^,]*)", argument))


def _remedy_for_absence(tcti: str) -> str:
    if is_simulator(tcti):
        return "start the software TPM that serves there, or name another TPM with SWT3_TPM_TCTI"
    return (
        "switch the TPM on in the firmware setup, or name another with SWT3_TPM_TCTI"
        " (none: do without; the log is then unsigned, and says so)"
    )


def _lack(tcti: str, error: OSError) -> TpmError:
    if error.errno in _ABSENT:
        return TpmError(
            "TPM_ABSENT",
            f"there is no TPM at {tcti}: {error.strerror}",
            remedy=_remedy_for_absence(tcti),
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return TpmError(
            "TPM_DENIED",
            f"this user may not use the TPM at {tcti}: {error.strerror}",
            remedy="give the agent's user permission on the socket and its directory"
            if is_simulator(tcti)
            else "add the user of the agent to the group that owns the device, tss",
        )
    if error.errno == errno.EBUSY or isinstance(error, TimeoutError):
        return TpmError(
            "TPM_BUSY",
            f"the TPM at {tcti} is held by another process",
            remedy=f"use the resource manager, {DEFAULT_TCTI}, or end that process",
        )
    return TpmError(
        "TPM_FAILED",
        f"the TPM at {tcti} cannot be opened: {error.strerror or error}",
        remedy="look at the kernel log (`journalctl -k -g tpm`)",
    )
