"""No driver, no permission, a driver that hangs, dies or lies: each its own answer and remedy."""

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from swt3_agent.collect.gpu.collector import GpuCollector
from swt3_agent.collect.gpu.driver import NvmlDriver
from swt3_agent.errors import ConfigError
from swt3_agent.protocol.appraisal import Outcome, appraise_gpu
from swt3_agent.protocol.evidence import Evidence, Lack, Reading, Unavailable
from swt3_agent.protocol.fingerprint import content_hash
from tests.support.nvml import MACHINE_VARIABLE, Machine

MachineMaker = Callable[[str], Machine]


def lacking(reading: Reading) -> Unavailable:
    assert isinstance(reading, Unavailable), reading
    assert reading.detail
    assert reading.remedy
    return reading


def test_no_device_on_the_bus_and_no_driver_is_absent_and_starts_no_child(tmp_path: Path) -> None:
    reading = lacking(GpuCollector(NvmlDriver(root=tmp_path)).collect())
    assert (reading.lack, reading.code) == (Lack.ABSENT, "GPU_NO_DEVICE")
    assert reading.claims["pci_count"] == 0
    assert appraise_gpu(reading).outcome is Outcome.ABSENT


def test_no_device_with_a_driver_installed_is_absent_too(
    machine: MachineMaker, driver: Path
) -> None:
    empty = machine("laptop").change("", count=0)
    shutil.rmtree(empty.root / "sys/bus")
    reading = lacking(empty.collector(driver).collect())
    assert (reading.lack, reading.code) == (Lack.ABSENT, "GPU_NO_DEVICE")


def test_devices_that_all_belong_to_virtual_machines_are_absent(machine: MachineMaker) -> None:
    host = machine("laptop").bind("0000:01:00.0", "vfio-pci")
    reading = lacking(host.collector(host.root / "no-library").collect())
    assert (reading.lack, reading.code) == (Lack.ABSENT, "GPU_NO_DEVICE")
    assert "virtual machines" in reading.detail


def test_accelerators_that_nobody_here_reads_fail_with_the_count_of_the_bus(
    machine: MachineMaker,
) -> None:
    node = machine("laptop")
    shutil.rmtree(node.root)
    for number in range(8):
        node.plug(f"0000:{number:02x}:00.0", "1002", "74a1", "1200")
    reading = lacking(node.collector(None).collect())
    assert (reading.lack, reading.code) == (Lack.FAILED, "ACCELERATOR_UNREAD")
    assert "AMD" in reading.detail
    appraisal = appraise_gpu(reading)
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (8, 0, 3))
    context: Any = appraisal.context
    assert context["discovery_method"] == "pci-sysfs"
    assert context["accelerators"][0] == {
        "vendor": "AMD",
        "name": "74a1",
        "bus_id_hash": content_hash("0000:00:00.0"),
        "discovery_method": "pci-sysfs",
    }


def test_one_that_nobody_reads_beside_those_that_answer_fails_the_node(
    machine: MachineMaker, driver: Path
) -> None:
    node = machine("l40s").plug("0000:f0:00.0", "1da3", "1020", "1200")
    reading = node.collector(driver).collect()
    assert isinstance(reading, Evidence)
    assert (reading.claims["count"], reading.claims["pci_count"]) == (4, 5)
    appraisal = appraise_gpu(reading)
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (4, 0, 1))
    assert [reason.code for reason in appraisal.reasons][:1] == ["ACCELERATOR_UNREAD"]


def test_devices_without_the_library_have_no_driver(machine: MachineMaker) -> None:
    bare = machine("l40s").bind("0000:01:00.0", "nouveau")
    reading = lacking(bare.collector(bare.root / "no-library").collect())
    assert (reading.lack, reading.code) == (Lack.FAILED, "GPU_NO_DRIVER")
    assert reading.claims["pci_count"] == 4
    assert "nouveau" in reading.detail
    appraisal = appraise_gpu(reading)
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (4, 0, 3))


def test_devices_on_a_system_without_any_nvidia_library_have_no_driver(
    machine: MachineMaker,
) -> None:
    """The system's own lookup of the library, which no test machine has."""
    with pytest.raises(OSError, match="libnvidia-ml"):
        ctypes.CDLL("libnvidia-ml.so.1")
    reading = lacking(machine("l40s").collector(None).collect())
    assert (reading.lack, reading.code) == (Lack.FAILED, "GPU_NO_DRIVER")


@pytest.mark.parametrize(
    ("error", "lack", "code"),
    [
        (9, Lack.FAILED, "GPU_NO_DRIVER"),
        (18, Lack.FAILED, "GPU_DRIVER_MISMATCH"),
        (4, Lack.DENIED, "GPU_DENIED"),
        (999, Lack.FAILED, "GPU_NVML_FAILED"),
    ],
)
@pytest.mark.parametrize("call", ["init", "count"])
def test_what_nvml_answers_is_told_apart(
    machine: MachineMaker, driver: Path, call: str, error: int, lack: Lack, code: str
) -> None:
    broken = machine("l40s").change("", **{call: f"error {error}"})
    reading = lacking(broken.collector(driver).collect())
    assert (reading.lack, reading.code) == (lack, code)
    assert reading.claims["pci_count"] == 4


@pytest.mark.parametrize("content", [b"", b"not a library at all", b"\x7fELF"])
def test_a_library_that_is_none_is_no_driver(
    machine: MachineMaker, tmp_path: Path, content: bytes
) -> None:
    false = tmp_path / "libnvidia-ml.so.1"
    false.write_bytes(content)
    reading = lacking(machine("l40s").collector(false).collect())
    assert reading.code == "GPU_NO_DRIVER"


def test_a_library_of_another_soname_is_refused(machine: MachineMaker, tmp_path: Path) -> None:
    other = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(
        ["cc", "-shared", "-Wl,-soname,libother.so.1", "-o", str(other), "-x", "c", "/dev/null"],
        check=True,
    )
    reading = lacking(machine("l40s").collector(other).collect())
    assert reading.code == "GPU_NO_DRIVER"
    assert "soname" in reading.detail


def test_the_environment_of_the_agent_chooses_no_library(
    machine: MachineMaker, driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver.parent))
    monkeypatch.setenv("LD_PRELOAD", str(driver))
    reading = lacking(machine("l40s").collector(None).collect())
    assert reading.code == "GPU_NO_DRIVER"


@pytest.mark.parametrize("variable", ["LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT"])
def test_nobody_may_pass_the_child_what_steers_the_linker(variable: str) -> None:
    with pytest.raises(ConfigError) as raised:
        NvmlDriver(extra_env={variable: "/tmp"})
    assert raised.value.code == "GPU_ENVIRONMENT"


@pytest.mark.parametrize("call", ["init", "count"])
def test_a_driver_that_hangs_is_busy_and_its_child_is_ended(
    machine: MachineMaker, driver: Path, call: str
) -> None:
    stuck = machine("l40s").change("", **{call: "hang"})
    collector = stuck.collector(driver, timeout_s=0.5, first_timeout_s=0.5)
    children = psutil.Process().children()
    reading = lacking(collector.collect())
    assert (reading.lack, reading.code) == (Lack.BUSY, "GPU_TIMEOUT")
    assert reading.claims["pci_count"] == 4
    assert psutil.Process().children() == children
    assert appraise_gpu(reading).outcome is Outcome.FAIL


def test_no_reader_outlives_an_agent_that_is_killed(machine: MachineMaker, driver: Path) -> None:
    """Not even one whose driver hangs: it would hold the driver for ever."""
    stuck = machine("l40s").change("", init="hang")
    agent = (
        "import sys; from pathlib import Path\n"
        "from swt3_agent.collect.gpu.collector import GpuCollector\n"
        "from swt3_agent.collect.gpu.driver import NvmlDriver\n"
        "GpuCollector(NvmlDriver(root=Path(sys.argv[1]), library_path=Path(sys.argv[2]),"
        f" extra_env={{{MACHINE_VARIABLE!r}: sys.argv[3]}})).collect()"
    )
    arguments = (str(stuck.root), str(driver), str(stuck.description))
    with subprocess.Popen([sys.executable, "-c", agent, *arguments]) as process:
        reader = reader_of(process.pid)
        process.kill()
    reader.wait(20)


def test_a_reader_whose_agent_was_gone_before_it_began_asks_nothing(
    machine: MachineMaker, driver: Path
) -> None:
    stuck = machine("l40s").change("", init="hang")
    command = [sys.executable, "-m", "swt3_agent.collect.gpu.reader", "--library", str(driver)]
    environment = {**os.environ, MACHINE_VARIABLE: str(stuck.description)}
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            command, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=30
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "nobody reads the report\n")


def reader_of(agent: int) -> psutil.Process:
    """The reader that ``agent`` started, once it has mapped the driver's library."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in psutil.Process(agent).children():
            with contextlib.suppress(psutil.Error):
                if any("libnvidia-ml" in mapped.path for mapped in child.memory_maps()):
                    return child
        time.sleep(0.01)
    raise AssertionError("no reader was started")


def test_one_gpu_that_hangs_makes_the_reading_busy(machine: MachineMaker, driver: Path) -> None:
    stuck = machine("l40s").change("gpu 2", memory="hang")
    collector = stuck.collector(driver, timeout_s=0.5, first_timeout_s=0.5)
    assert lacking(collector.collect()).code == "GPU_TIMEOUT"


def test_a_library_that_crashes_takes_only_the_child_with_it(
    machine: MachineMaker, driver: Path
) -> None:
    broken = machine("l40s").change("gpu 1", serial="crash")
    reading = lacking(broken.collector(driver).collect())
    assert (reading.lack, reading.code) == (Lack.FAILED, "GPU_READER_FAILED")
    assert "status -6" in reading.detail


def test_a_library_that_complains_is_quoted(machine: MachineMaker, driver: Path) -> None:
    nameless = machine("l40s")
    nameless.description.unlink()
    reading = lacking(nameless.collector(driver).collect())
    assert reading.code == "GPU_READER_FAILED"
    assert MACHINE_VARIABLE in reading.detail


def test_what_the_library_prints_does_not_spoil_the_report(
    machine: MachineMaker, driver: Path, tmp_path: Path
) -> None:
    """Libraries do write to standard output; the report has a descriptor of its own."""
    chatty = tmp_path / "libnvidia-ml.so.1"
    source = tmp_path / "chatty.c"
    source.write_text(
        "#include <stdio.h>\n__attribute__((constructor)) static void greet(void)"
        '{ puts("{}"); fflush(stdout); }\n'
    )
    sources = Path(__file__).parents[2] / "nvml"
    subprocess.run(
        [
            *("cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1"),
            *("-o", str(chatty), str(source), str(sources / "nvml.c"), str(sources / "machine.c")),
        ],
        check=True,
    )
    assert isinstance(machine("l40s").collector(chatty).collect(), Evidence)


@pytest.mark.permissions
def test_a_control_node_that_may_not_be_opened_is_denied(
    machine: MachineMaker, driver: Path
) -> None:
    closed = machine("l40s").change("", init="error 9")
    (closed.root / "dev/nvidiactl").chmod(0)
    reading = lacking(closed.collector(driver).collect())
    assert (reading.lack, reading.code) == (Lack.DENIED, "GPU_DENIED")
    assert "/dev/nvidiactl" in reading.remedy


@pytest.mark.permissions
def test_a_library_that_may_not_be_read_is_denied_and_not_absent(
    machine: MachineMaker, driver: Path, tmp_path: Path
) -> None:
    closed = tmp_path / "libnvidia-ml.so.1"
    shutil.copy(driver, closed)
    closed.chmod(0)
    reading = lacking(machine("l40s").collector(closed).collect())
    assert (reading.lack, reading.code) == (Lack.DENIED, "GPU_DENIED")


@pytest.mark.permissions
def test_a_bus_that_may_not_be_read_is_denied(machine: MachineMaker, driver: Path) -> None:
    closed = machine("l40s")
    devices = closed.root / "sys/bus/pci/devices"
    devices.chmod(0)
    try:
        reading = lacking(closed.collector(driver).collect())
    finally:
        devices.chmod(0o755)
    assert (reading.lack, reading.code) == (Lack.DENIED, "GPU_PCI_UNREADABLE")


def test_the_reader_can_be_run_by_hand() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "swt3_agent.collect.gpu.reader", "--library", "/nonexistent"],
        check=True,
        capture_output=True,
    ).stdout
    assert b'"error":12' in printed
