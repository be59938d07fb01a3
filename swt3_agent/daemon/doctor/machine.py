"""The TPM, the accelerators and the clock."""

import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from swt3_agent.collect.base import Collector
from swt3_agent.collect.clock import ClockState, read_clock
from swt3_agent.config import NO_TPM
from swt3_agent.config.settings import TpmSettings
from swt3_agent.daemon.doctor.finding import Finding, failure, good, of_error, warning
from swt3_agent.errors import TpmError
from swt3_agent.protocol.evidence import Lack, RootOfTrust, Unavailable
from swt3_agent.tpm.reach import DEFAULT_TCTI, check_reachable, is_simulator

NO_ROOT_OF_TRUST = "a software TPM is no root of trust: whoever runs it can sign anything"


def check_tpm(settings: TpmSettings, user: str | None = None) -> Iterator[Finding]:
    """Whether the TPM of ``settings`` is there, for this user and for ``user``, the agent's."""
    subject = "tpm"
    tcti = settings.tcti or DEFAULT_TCTI
    if tcti == NO_TPM:
        detail = "the settings say that there is no TPM: the log is not signed"
        yield warning(subject, "LOG_UNSIGNED", detail, "set agent.tpm.tcti where there is one")
        return
    try:
        check_reachable(tcti)
    except TpmError as error:
        yield of_error(subject, error)
        return
    if is_simulator(tcti):
        yield software_tpm()
        return
    device = Path(tcti.partition(":")[2] or DEFAULT_TCTI.partition(":")[2])
    if user is not None and device.exists() and not may_use(device, user):
        group = _group_of(device)
        detail = f"{user} may not use {device}"
        yield failure(subject, "TPM_DENIED", detail, f"usermod -aG {group} {user}, then restart")
        return
    yield good(subject, f"{tcti} can be opened")


def check_tpm_told(told: Mapping[str, Any]) -> Iterator[Finding]:
    """The TPM that a running daemon holds, as `status` has it. Where it has none, its readiness
    says why."""
    if told["kind"] == RootOfTrust.SOFTWARE_TPM.value:
        yield software_tpm()
    elif told["kind"] == RootOfTrust.TPM.value:
        yield good("tpm", "the running agent has it open")


def software_tpm() -> Finding:
    """It signs like any other."""
    return warning("tpm", "SOFTWARE_TPM", NO_ROOT_OF_TRUST, "use it for tests only")


def may_use(path: Path, user: str) -> bool:
    """Whether the mode of ``path`` lets ``user`` read and write it. True for an unknown user: there
    is nothing to say about him."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return True
    status = path.stat()
    if account.pw_uid in (0, status.st_uid):
        return bool(account.pw_uid == 0 or status.st_mode & stat.S_IRUSR)
    if status.st_gid in os.getgrouplist(user, account.pw_gid):
        return status.st_mode & 0o060 == 0o060
    return status.st_mode & 0o006 == 0o006


def _group_of(path: Path) -> str:
    try:
        return grp.getgrgid(path.stat().st_gid).gr_name
    except KeyError:
        return str(path.stat().st_gid)


def check_gpus(collector: Collector, expected: int | None) -> Iterator[Finding]:
    """Whether the accelerators of this node can be read, and are well."""
    subject = "gpu"
    reading = collector.collect()
    if isinstance(reading, Unavailable):
        if reading.lack is Lack.ABSENT and not expected:
            yield good(subject, f"nothing to read: {reading.detail}")
        else:
            yield failure(subject, reading.code, reading.detail, reading.remedy)
        return
    claims = reading.claims
    for key, make in (("problems", failure), ("warnings", warning)):
        for entry in _entries(claims, key):
            code, detail, remedy = (str(entry.get(k, "")) for k in ("code", "detail", "remedy"))
            yield make(subject, code, detail, remedy)
    yield good(subject, f"{claims.get('count')} GPUs answer, driver {claims.get('driver')}")


def _entries(claims: Mapping[str, object], key: str) -> Iterator[Mapping[str, object]]:
    value = claims.get(key)
    if isinstance(value, list | tuple):
        yield from (entry for entry in value if isinstance(entry, Mapping))


def check_clock(read: Callable[[], ClockState] = read_clock) -> Iterator[Finding]:
    """Whether the time stamps of the log can be relied upon."""
    subject = "clock"
    remedy = "let chrony or systemd-timesyncd discipline the clock"
    try:
        state = read()
    except OSError as error:
        detail = f"the kernel does not say whether its clock is right: {error.strerror}"
        yield warning(subject, "CLOCK_UNKNOWN", detail, remedy)
        return
    if state.synchronised:
        yield good(subject, f"synchronised, within {state.max_error_us / 1000:.0f} ms")
    else:
        yield warning(subject, "CLOCK_UNSYNCHRONISED", "nothing disciplines the clock", remedy)
