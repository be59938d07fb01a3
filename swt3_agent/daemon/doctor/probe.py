"""Whether the helper gives the kernel's logs, and whether they are worth having."""

from collections.abc import Callable, Iterator
from pathlib import Path

from swt3_agent.daemon.doctor.finding import Finding, good, warning
from swt3_agent.errors import RemoteError
from swt3_agent.probe.client import Probe


def check_probe(path: Path | None) -> Iterator[Finding]:
    """The boot log and the IMA log, asked for as the agent asks. Without them the agent works, and
    fewer claims can be made."""
    probe = Probe(path, environ={})  # a credential is the agent's, not this command's
    yield _asked("boot log", probe.boot_log)
    yield _asked("IMA log", probe.ima_log)


def _asked(what: str, ask: Callable[[], bytes]) -> Finding:
    try:
        log = ask()
    except RemoteError as error:
        return warning("probe", error.code, f"{what}: {error.message}", error.remedy)
    return good("probe", f"the {what} of {len(log)} bytes can be read")
