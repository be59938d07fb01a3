from pathlib import Path
from typing import Any

import pytest

from swt3_agent.collect.clock import ClockState
from swt3_agent.collect.host import HostCollector
from swt3_agent.protocol.checkpoint import node_id
from swt3_agent.protocol.evidence import Evidence, Lack, RootOfTrust, Unavailable
from swt3_agent.protocol.fingerprint import content_hash

MACHINE_ID = "0123456789abcdef0123456789abcdef"
FILES = {
    "etc/machine-id": f"{MACHINE_ID}\n",
    "etc/os-release": 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "proc/sys/kernel/hostname": "gpu-node-7\n",
    "proc/sys/kernel/random/boot_id": "5a1f3f0e-6b0e-4f7a-9a3e-0d6f0e4c2b11\n",
    "proc/sys/kernel/osrelease": "6.1.0-18-amd64\n",
    "proc/sys/kernel/version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1\n",
    "proc/sys/kernel/tainted": "12289\n",
    "sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD EPYC 9654\n\nprocessor\t: 1\n"
    "model name\t: AMD EPYC 9654\n",
    "proc/meminfo": "MemTotal:       528280988 kB\nMemFree:        1024 kB\n",
    "proc/uptime": "93784.12 1500000.00\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def disciplined_clock() -> ClockState:
    return ClockState(synchronised=True, max_error_us=1500, estimated_error_us=20)


def claims(root: Path) -> dict[str, Any]:
    reading = HostCollector(root, read_kernel_clock=disciplined_clock).collect()
    assert isinstance(reading, Evidence)
    assert reading.root_of_trust is RootOfTrust.SELF_REPORTED
    return dict(reading.claims)


def lack(root: Path) -> Unavailable:
    reading = HostCollector(root).collect()
    assert isinstance(reading, Unavailable)
    assert reading.code == "HOST_NO_MACHINE_ID"
    return reading


def test_every_fact_is_read_below_the_root(root: Path) -> None:
    found = claims(root)
    assert found["boot_id"] == "5a1f3f0e-6b0e-4f7a-9a3e-0d6f0e4c2b11"
    assert found["kernel"] == {
        "release": "6.1.0-18-amd64",
        "version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1",
        "taint": 12289,
        "lockdown": "integrity",
    }
    assert found["os"] == "Debian GNU/Linux 12 (bookworm)"
    assert found["cpu"] == {"model": "AMD EPYC 9654", "count": 2}
    assert found["memory_bytes"] == 528280988 * 1024
    assert found["uptime_s"] == 93784
    assert found["clock"] == {
        "synchronised": True,
        "max_error_us": 1500,
        "estimated_error_us": 20,
    }
    assert found["unreadable"] == {}


def test_neither_the_machine_id_nor_the_host_name_is_given_away(root: Path) -> None:
    found = claims(root)
    assert found["node_id"] == node_id(MACHINE_ID)
    assert found["hostname_hash"] == content_hash("gpu-node-7")
    assert MACHINE_ID not in str(found)
    assert "gpu-node-7" not in str(found)


def test_a_fact_that_is_not_there_is_null_and_said(root: Path) -> None:
    (root / "sys/kernel/security/lockdown").unlink()
    (root / "proc/meminfo").write_text("nothing of the kind\n")
    (root / "proc/cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")
    found = claims(root)
    assert found["kernel"]["lockdown"] is None
    assert found["memory_bytes"] is None
    assert found["cpu"] == {"model": None, "count": 1}
    assert found["unreadable"] == {
        "kernel.lockdown": "absent",
        "memory_bytes": "failed",
        "cpu.model": "absent",
    }


def test_a_clock_that_cannot_be_asked_is_not_called_synchronised(root: Path) -> None:
    def refused() -> ClockState:
        raise PermissionError(1, "adjtimex")

    reading = HostCollector(root, read_kernel_clock=refused).collect()
    found: Any = reading.claims
    assert found["clock"]["synchronised"] is None
    assert found["unreadable"] == {"clock": "denied"}


@pytest.mark.parametrize("content", ["", "\n", None])
def test_without_a_machine_id_the_node_has_no_identity(root: Path, content: str | None) -> None:
    machine_id = root / "etc/machine-id"
    machine_id.unlink()
    if content is not None:
        machine_id.write_text(content)
    reading = lack(root)
    assert reading.lack is Lack.ABSENT
    assert "systemd-machine-id-setup" in reading.remedy
    assert reading.claims["boot_id"] == "5a1f3f0e-6b0e-4f7a-9a3e-0d6f0e4c2b11"
    assert "node_id" not in reading.claims


@pytest.mark.parametrize("content", ["uninitialized\n", MACHINE_ID.upper(), MACHINE_ID[:31]])
def test_a_machine_id_that_is_none_is_refused(root: Path, content: str) -> None:
    (root / "etc/machine-id").write_text(content)
    assert lack(root).lack is Lack.FAILED


@pytest.mark.permissions
def test_a_machine_id_that_may_not_be_read_is_denied_and_not_absent(root: Path) -> None:
    (root / "etc/machine-id").chmod(0)
    assert lack(root).lack is Lack.DENIED


def test_the_collector_reads_the_machine_that_it_runs_on() -> None:
    found: Any = HostCollector().collect().claims
    assert found["kernel"]["release"] == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert found["memory_bytes"] > 0
    assert found["cpu"]["count"] >= 1
