"""GpuCollector: the PCI bus first, then NVML through a child process, then what both say."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from swt3_agent.collect.gpu import reading
from swt3_agent.collect.gpu.child import ChildRun, End, SingleChild
from swt3_agent.collect.gpu.claims import gpu_claims
from swt3_agent.collect.gpu.reading import Failure, Report
from swt3_agent.collect.gpu.sysfs import (
    PciInventory,
    has_driver_trace,
    is_device_node_denied,
    read_inventory,
)
from swt3_agent.errors import ConfigError
from swt3_agent.protocol.evidence import Evidence, Lack, Reading, RootOfTrust, Unavailable

_READER = "swt3_agent.collect.gpu.reader"
_MAX_REPORT = 4 << 20  # bytes; eight GPUs with 18 links each take about 40 KiB
_GRACE_S = 2.0


class GpuCollector:
    """What the NVIDIA driver reports of this node's GPUs, and what the PCI bus says of them.

    Claims: ``count`` GPUs that answer, ``pci_count`` GPUs on the bus that belong to this host,
    ``driver``, ``cuda``, ``library`` and ``module`` that the answers come from, ``topology``,
    ``topology_code``, ``interconnect``, ``pcie_farthest``, ``gpus`` sorted by UUID, ``pairs``,
    ``problems`` and ``warnings``. A value that NVML would not give is ``{"error": code}``.
    """

    name = "gpu"

    def __init__(
        self,
        *,
        root: Path = Path("/"),
        interval_s: float = 300.0,
        timeout_s: float = 30.0,
        first_timeout_s: float = 90.0,
        library_path: Path | None = None,
        extra_env: Mapping[str, str] | None = None,
    ) -> None:
        """``root`` is where /sys, /proc and /dev are looked for.

        The first reading may take ``first_timeout_s``: without persistence mode the driver
        initialises every GPU. ``library_path`` names the NVML library file instead of the
        system's; ``extra_env`` is added to the otherwise empty environment of the child.
        Raises ``ConfigError`` when ``extra_env`` would steer the dynamic linker.
        """
        steering = [name for name in extra_env or () if name.startswith("LD_")]
        if steering:
            raise ConfigError(
                "GPU_ENVIRONMENT",
                f"{', '.join(steering)} may not be passed to the GPU reader: it would choose "
                "whose library answers",
                remedy="Name the NVML library with library_path.",
            )
        self.interval_s = interval_s
        self._root = root
        self._limits_s = (timeout_s, max(timeout_s, first_timeout_s))
        self._has_answered = False
        self._library_path = library_path
        self._environment = {**_clean_environment(), **(extra_env or {})}
        self._child = SingleChild(grace_s=_GRACE_S)

    @property
    def timeout_s(self) -> float:
        """The longest that a reading takes, the end of a child that hangs included."""
        return self._limits_s[1] + 2 * _GRACE_S

    def collect(self) -> Reading:
        """Take one reading. BUSY when the driver does not answer in time."""
        try:
            pci = read_inventory(self._root)
        except OSError as error:
            lack = Lack.DENIED if isinstance(error, PermissionError) else Lack.FAILED
            return _unavailable(
                lack,
                "GPU_PCI_UNREADABLE",
                f"the PCI bus cannot be read: {error}",
                "let the agent read /sys/bus/pci/devices",
                {},
            )
        if not pci.own_gpus and self._library_path is None and not has_driver_trace(self._root):
            return _no_device(pci)
        try:
            run = self._run_reader()
        except OSError as error:
            return _reader_failed(f"it cannot be started: {error}", pci)
        return self._conclude(run, pci)

    def _run_reader(self) -> ChildRun:
        command = [sys.executable, "-s", "-m", _READER]
        if self._library_path is not None:
            command += ["--library", str(self._library_path.absolute())]
        return self._child.run(
            command,
            env=self._environment,
            timeout_s=self._limits_s[0 if self._has_answered else 1],
            max_output=_MAX_REPORT,
        )

    def _conclude(self, run: ChildRun, pci: PciInventory) -> Reading:
        if run.end in (End.TIMED_OUT, End.STILL_BLOCKED):
            return _busy(run.end, self._child.blocked_pid, pci)
        if run.end is End.TOO_MUCH_OUTPUT:
            return _reader_failed(f"it wrote more than {_MAX_REPORT} bytes", pci)
        if run.status != 0:
            return _reader_failed(f"it ended with status {run.status}: {run.complaint}", pci)
        try:
            report = msgspec.json.decode(run.output, type=Report)
        except msgspec.MsgspecError as error:
            return _reader_failed(f"its report cannot be read: {error}", pci)
        if report.failure is not None:
            return self._failure(report.failure, pci)
        self._has_answered = True
        if not report.gpus and not pci.own_gpus:
            return _no_device(pci)
        return Evidence(self.name, RootOfTrust.DRIVER_REPORTED, gpu_claims(report, pci, self._root))

    def _failure(self, failure: Failure, pci: PciInventory) -> Unavailable:
        """Tell no driver, no permission and a driver in two versions apart: each has its remedy."""
        if failure.error == reading.VERSION_MISMATCH:
            return _unavailable(
                Lack.FAILED,
                "GPU_DRIVER_MISMATCH",
                "the loaded kernel module and the installed driver library differ in version",
                "reload the nvidia kernel modules or reboot: the driver was upgraded underneath",
                _seen(pci),
            )
        if failure.error == reading.LIBRARY_NOT_FOUND:
            return _no_driver(failure, pci)
        # A driver whose control node is closed to us may look to NVML as if it were not there.
        if failure.error == reading.NO_PERMISSION or is_device_node_denied(self._root):
            return _unavailable(
                Lack.DENIED,
                "GPU_DENIED",
                f"the NVIDIA driver may not be used by this process: {failure.detail}",
                "let the agent's user open /dev/nvidiactl and /dev/nvidia* (group video on some "
                "systems) and map the driver's library",
                _seen(pci),
            )
        if failure.error == reading.DRIVER_NOT_LOADED:
            return _no_driver(failure, pci)
        if failure.stage == "binding":
            return _reader_failed(failure.detail, pci)
        return _unavailable(
            Lack.FAILED,
            "GPU_NVML_FAILED",
            f"NVML does not start: error {failure.error}, {failure.detail}",
            "look at `nvidia-smi` and for NVRM messages in the kernel log",
            _seen(pci),
        )


def _clean_environment() -> dict[str, str]:
    """The whole environment of the child: nothing of ours that could steer the linker is in it."""
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "PYTHONUTF8": "1",
        "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry),
    }


def _unavailable(
    lack: Lack, code: str, detail: str, remedy: str, claims: Mapping[str, object]
) -> Unavailable:
    return Unavailable(GpuCollector.name, lack, code, detail, remedy, claims)


def _seen(pci: PciInventory) -> dict[str, object]:
    return {
        "pci_count": len(pci.own_gpus),
        "pci": [
            {"address": device.address, "device": device.device, "driver": device.driver}
            for device in pci.gpus
        ],
    }


def _no_device(pci: PciInventory) -> Unavailable:
    if pci.gpus:
        return _unavailable(
            Lack.ABSENT,
            "GPU_NO_DEVICE",
            f"all {len(pci.gpus)} NVIDIA GPUs on the PCI bus are given to virtual machines",
            "attest them from within the virtual machines that use them",
            _seen(pci),
        )
    return _unavailable(
        Lack.ABSENT,
        "GPU_NO_DEVICE",
        "no NVIDIA GPU is on the PCI bus",
        "nothing, when this node has none; else check seating, power and the firmware settings",
        _seen(pci),
    )


def _no_driver(failure: Failure, pci: PciInventory) -> Unavailable:
    if not pci.own_gpus:
        return _no_device(pci)
    drivers = sorted({device.driver or "none" for device in pci.own_gpus})
    return _unavailable(
        Lack.FAILED,
        "GPU_NO_DRIVER",
        f"{len(pci.own_gpus)} NVIDIA GPUs are on the PCI bus and the NVIDIA driver is not in use "
        f"(kernel driver bound: {', '.join(drivers)}): {failure.detail}",
        "install the NVIDIA driver with libnvidia-ml.so.1 and load its kernel module",
        _seen(pci),
    )


def _busy(end: End, blocked_pid: int | None, pci: PciInventory) -> Unavailable:
    remedy = "look for Xid messages in the kernel log; a GPU that hangs needs a reset or a reboot"
    if end is End.STILL_BLOCKED:
        return _unavailable(
            Lack.BUSY,
            "GPU_READER_BLOCKED",
            f"an earlier reading (process {blocked_pid}) still waits in the kernel for the driver; "
            "no second one is started beside it",
            remedy,
            _seen(pci),
        )
    return _unavailable(
        Lack.BUSY,
        "GPU_TIMEOUT",
        "the NVIDIA driver did not answer in time",
        remedy + "; without persistence mode every first call is slow",
        _seen(pci),
    )


def _reader_failed(why: str, pci: PciInventory) -> Unavailable:
    return _unavailable(
        Lack.FAILED,
        "GPU_READER_FAILED",
        f"the process that reads NVML failed: {why}",
        "run it by hand to see more: python -m swt3_agent.collect.gpu.reader",
        _seen(pci),
    )
