"""HostCollector: the machine and its kernel, as the kernel itself reports them."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from swt3_agent.collect.attributes import read_attribute
from swt3_agent.collect.clock import ClockState, read_clock
from swt3_agent.protocol.checkpoint import node_id
from swt3_agent.protocol.evidence import Evidence, Lack, Reading, RootOfTrust, Unavailable
from swt3_agent.protocol.fingerprint import content_hash

_MOST_BYTES = 1 << 20  # of any one file: /proc/cpuinfo of a large node is the longest
_MACHINE_ID = re.compile(r"[0-9a-f]{32}")


class HostCollector:
    """Facts about the host.

    Claims: ``node_id`` (from the machine id, which itself is kept secret), ``hostname_hash``,
    ``boot_id``, ``kernel`` (release, version, taint, lockdown), ``architecture``, ``os``, ``cpu``
    (model, count), ``memory_bytes``, ``uptime_s``, ``clock``. A fact that cannot be read is null,
    and ``unreadable`` says why: absent, denied or failed.
    """

    name = "host"

    def __init__(
        self,
        root: Path = Path("/"),
        *,
        interval_s: float = 300.0,
        read_kernel_clock: Callable[[], ClockState] = read_clock,
    ) -> None:
        """Files are read below ``root``; the clock is the kernel's and has no file."""
        self.interval_s = interval_s
        self.timeout_s = 5.0
        self._root = root
        self._read_kernel_clock = read_kernel_clock

    def collect(self) -> Reading:
        """Take one reading. Without a machine id the node has no identity, and so no evidence."""
        facts = _Facts(self._root)
        claims = self._claims(facts)
        machine_id = facts.text("etc/machine-id", "node_id")
        if machine_id is None or not _MACHINE_ID.fullmatch(machine_id):
            return _no_identity(machine_id, facts.unreadable, claims)
        claims["node_id"] = node_id(machine_id)
        return Evidence(self.name, RootOfTrust.SELF_REPORTED, claims)

    def _claims(self, facts: "_Facts") -> dict[str, object]:
        hostname = facts.text("proc/sys/kernel/hostname", "hostname_hash")
        return {
            "hostname_hash": content_hash(hostname) if hostname else None,
            "boot_id": facts.text("proc/sys/kernel/random/boot_id", "boot_id"),
            "kernel": {
                "release": facts.text("proc/sys/kernel/osrelease", "kernel.release"),
                "version": facts.text("proc/sys/kernel/version", "kernel.version"),
                "taint": facts.number("proc/sys/kernel/tainted", r"(\d+)", "kernel.taint"),
                "lockdown": facts.match(
                    "sys/kernel/security/lockdown", r"\[(\w+)\]", "kernel.lockdown"
                ),
            },
            "architecture": os.uname().machine,
            "os": facts.match("etc/os-release", r'(?m)^PRETTY_NAME="?([^"\n]*)', "os"),
            "cpu": facts.cpu(),
            "memory_bytes": facts.memory("memory_bytes"),
            "uptime_s": facts.number("proc/uptime", r"(\d+)", "uptime_s"),
            "clock": self._clock(facts.unreadable),
            "unreadable": facts.unreadable,
        }

    def _clock(self, unreadable: dict[str, str]) -> dict[str, object]:
        try:
            clock = self._read_kernel_clock()
        except OSError as error:
            unreadable["clock"] = _why(error)
            return {"synchronised": None, "max_error_us": None, "estimated_error_us": None}
        return {
            "synchronised": clock.synchronised,
            "max_error_us": clock.max_error_us,
            "estimated_error_us": clock.estimated_error_us,
        }


class _Facts:
    """Reads small files below a root and remembers which could not be read, and why."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.unreadable: dict[str, str] = {}

    def text(self, path: str, claim: str) -> str | None:
        """The file's text without surrounding space."""
        try:
            return read_attribute(self._root / path, _MOST_BYTES)
        except OSError as error:
            self.unreadable[claim] = _why(error)
            return None

    def match(self, path: str, pattern: str, claim: str) -> str | None:
        """The first group of ``pattern`` in the file."""
        text = self.text(path, claim)
        if text is None:
            return None
        found = re.search(pattern, text)
        if found is None:
            self.unreadable[claim] = Lack.FAILED.value
            return None
        return str(found[1])

    def number(self, path: str, pattern: str, claim: str) -> int | None:
        digits = self.match(path, pattern, claim)
        return None if digits is None else int(digits)

    def memory(self, claim: str) -> int | None:
        """Total memory in bytes; /proc/meminfo gives KiB."""
        size = self.number("proc/meminfo", r"MemTotal:\s*(\d+) kB", claim)
        return None if size is None else size * 1024

    def cpu(self) -> dict[str, object]:
        """Model and logical CPUs; ARM's cpuinfo names no model."""
        text = self.text("proc/cpuinfo", "cpu")
        if text is None:
            return {"model": None, "count": None}
        model = re.search(r"(?m)^model name\s*:\s*(.*)$", text)
        if model is None:
            self.unreadable["cpu.model"] = Lack.ABSENT.value
        return {
            "model": model and model[1].strip(),
            "count": len(re.findall(r"(?m)^processor\s*:", text)),
        }


def _why(error: OSError) -> str:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return str(Lack.ABSENT.value)
    lack = Lack.DENIED if isinstance(error, PermissionError) else Lack.FAILED
    return str(lack.value)


def _no_identity(
    machine_id: str | None, unreadable: dict[str, str], claims: dict[str, object]
) -> Unavailable:
    lack = Lack.ABSENT if machine_id is not None else Lack(unreadable["node_id"])
    if lack is Lack.DENIED:
        detail, remedy = "/etc/machine-id may not be read", "let the agent's user read it"
    elif machine_id:
        lack = Lack.FAILED
        detail = "/etc/machine-id does not hold 32 lowercase hexadecimal digits"
        remedy = "write a new one with `systemd-machine-id-setup`"
    else:
        detail = "/etc/machine-id is missing or empty, so this node has no identity"
        remedy = "make one with `systemd-machine-id-setup` and restart the agent"
    return Unavailable(HostCollector.name, lack, "HOST_NO_MACHINE_ID", detail, remedy, claims)
