"""NvmlDriver: asks NVML through a child process, and tells why it does not answer.

One question at a time, whoever asks: two collectors share it, and a driver that hangs shall hold
one child, not two.
"""

import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from swt3_agent.collect.gpu import reading
from swt3_agent.collect.gpu.child import ChildRun, End, SingleChild
from swt3_agent.collect.gpu.reading import Failure, Report
from swt3_agent.collect.gpu.sysfs import has_driver_trace, is_device_node_denied
from swt3_agent.collect.pci import VENDORS, PciInventory
from swt3_agent.errors import ConfigError
from swt3_agent.protocol.evidence import Lack, Unavailable
from swt3_agent.protocol.strict_json import MALFORMED

INVENTORY = "swt3_agent.collect.gpu.reader"
SENSORS = "swt3_agent.collect.gpu.sensors"

_MAX_REPORT = 4 << 20  # bytes; eight GPUs with 18 links each take about 40 KiB
_GRACE_S = 2.0


class NvmlDriver:
    """The NVIDIA driver of this node, as far as NVML reaches it."""

    def __init__(
        self,
        *,
        root: Path = Path("/"),
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
        self.root = root
        self._limits_s = (timeout_s, max(timeout_s, first_timeout_s))
        self._has_answered = False
        self._library_path = library_path
        self._environment = {**_clean_environment(), **(extra_env or {})}
        self._child = SingleChild(grace_s=_GRACE_S)
        self._turn = threading.Lock()

    @property
    def timeout_s(self) -> float:
        """The longest that a question takes: the end of a child that hangs, and of one before."""
        return 2 * (self._limits_s[1] + 2 * _GRACE_S)

    def shows(self) -> bool:
        """Whether there may be a driver to ask, also where the PCI bus shows no device."""
        return self._library_path is not None or has_driver_trace(self.root)

    def ask(self, reader: str, collector: str, pci: PciInventory) -> Report | Unavailable:
        """One report of ``reader``, a module of this package. BUSY when it does not come in time.

        ``collector`` is in whose name a lack is told; ``pci``: what the bus shows.
        """
        with self._turn:
            try:
                run = self._run(reader)
            except OSError as error:
                return _reader_failed(collector, reader, f"it cannot be started: {error}", pci)
            return self._conclude(run, reader, collector, pci)

    def _run(self, reader: str) -> ChildRun:
        command = [sys.executable, "-s", "-m", reader]
        if self._library_path is not None:
            command += ["--library", str(self._library_path.absolute())]
        return self._child.run(
            command,
            env=self._environment,
            timeout_s=self._limits_s[0 if self._has_answered else 1],
            max_output=_MAX_REPORT,
        )

    def _conclude(
        self, run: ChildRun, reader: str, collector: str, pci: PciInventory
    ) -> Report | Unavailable:
        if run.end in (End.TIMED_OUT, End.STILL_BLOCKED):
            return _busy(collector, run.end, self._child.blocked_pid, pci)
        wrong = None
        if run.end is End.TOO_MUCH_OUTPUT:
            wrong = f"it wrote more than {_MAX_REPORT} bytes"
        elif run.status != 0:
            wrong = f"it ended with status {run.status}: {run.complaint}"
        if wrong is None:
            try:
                report = msgspec.json.decode(run.output, type=Report)
            except MALFORMED as error:
                wrong = f"its report cannot be read: {error}"
        if wrong is not None:
            return _reader_failed(collector, reader, wrong, pci)
        if report.failure is not None:
            return self._failure(report.failure, reader, collector, pci)
        self._has_answered = True
        return report

    def _failure(
        self, failure: Failure, reader: str, collector: str, pci: PciInventory
    ) -> Unavailable:
        """Tell no driver, no permission and a driver in two versions apart: each has its remedy."""
        if failure.error == reading.VERSION_MISMATCH:
            return unavailable(
                collector,
                Lack.FAILED,
                "GPU_DRIVER_MISMATCH",
                "the loaded kernel module and the installed driver library differ in version",
                "reload the nvidia kernel modules or reboot: the driver was upgraded underneath",
                pci,
            )
        if failure.error == reading.LIBRARY_NOT_FOUND:
            return _no_driver(collector, failure, pci)
        # A driver whose control node is closed to us may look to NVML as if it were not there.
        if failure.error == reading.NO_PERMISSION or is_device_node_denied(self.root):
            return unavailable(
                collector,
                Lack.DENIED,
                "GPU_DENIED",
                f"the NVIDIA driver may not be used by this process: {failure.detail}",
                "let the agent's user open /dev/nvidiactl and /dev/nvidia* (group video on some "
                "systems) and map the driver's library",
                pci,
            )
        if failure.error == reading.DRIVER_NOT_LOADED:
            return _no_driver(collector, failure, pci)
        if failure.stage == "binding":
            return _reader_failed(collector, reader, failure.detail, pci)
        return unavailable(
            collector,
            Lack.FAILED,
            "GPU_NVML_FAILED",
            f"NVML does not start: error {failure.error}, {failure.detail}",
            "look at `nvidia-smi` and for NVRM messages in the kernel log",
            pci,
        )


def _clean_environment() -> dict[str, str]:
    """The whole environment of the child: nothing of ours that could steer the linker is in it."""
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "PYTHONUTF8": "1",
        "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry),
    }


def unavailable(
    collector: str, lack: Lack, code: str, detail: str, remedy: str, pci: PciInventory
) -> Unavailable:
    """A reading that did not come, with what the bus shows all the same."""
    return Unavailable(collector, lack, code, detail, remedy, pci.claims())


def no_device(collector: str, pci: PciInventory) -> Unavailable:
    """No NVIDIA GPU of this host: none at all, or none that is ours, or another maker's."""
    if pci.own_others:
        makers = sorted({VENDORS[device.vendor] for device in pci.own_others})
        return unavailable(
            collector,
            Lack.FAILED,
            "ACCELERATOR_UNREAD",
            f"{len(pci.own_others)} accelerators of {', '.join(makers)} are on the PCI bus, and "
            "this version reads none of theirs",
            "attest them by other means",
            pci,
        )
    if pci.gpus:
        return unavailable(
            collector,
            Lack.ABSENT,
            "GPU_NO_DEVICE",
            f"all {len(pci.gpus)} NVIDIA GPUs on the PCI bus are given to virtual machines",
            "attest them from within the virtual machines that use them",
            pci,
        )
    return unavailable(
        collector,
        Lack.ABSENT,
        "GPU_NO_DEVICE",
        "no NVIDIA GPU is on the PCI bus",
        "nothing, when this node has none; else check seating, power and the firmware settings",
        pci,
    )


def _no_driver(collector: str, failure: Failure, pci: PciInventory) -> Unavailable:
    if not pci.own_gpus:
        return no_device(collector, pci)
    drivers = sorted({device.driver or "none" for device in pci.own_gpus})
    return unavailable(
        collector,
        Lack.FAILED,
        "GPU_NO_DRIVER",
        f"{len(pci.own_gpus)} NVIDIA GPUs are on the PCI bus and the NVIDIA driver is not in use "
        f"(kernel driver bound: {', '.join(drivers)}): {failure.detail}",
        "install the NVIDIA driver with libnvidia-ml.so.1 and load its kernel module",
        pci,
    )


def _busy(collector: str, end: End, blocked_pid: int | None, pci: PciInventory) -> Unavailable:
    remedy = "look for Xid messages in the kernel log; a GPU that hangs needs a reset or a reboot"
    if end is End.STILL_BLOCKED:
        return unavailable(
            collector,
            Lack.BUSY,
            "GPU_READER_BLOCKED",
            f"an earlier reading (process {blocked_pid}) still waits in the kernel for the driver; "
            "no second one is started beside it",
            remedy,
            pci,
        )
    return unavailable(
        collector,
        Lack.BUSY,
        "GPU_TIMEOUT",
        "the NVIDIA driver did not answer in time",
        remedy + "; without persistence mode every first call is slow",
        pci,
    )


def _reader_failed(collector: str, reader: str, why: str, pci: PciInventory) -> Unavailable:
    return unavailable(
        collector,
        Lack.FAILED,
        "GPU_READER_FAILED",
        f"the process that reads NVML failed: {why}",
        f"run it by hand to see more: python -m {reader}",
        pci,
    )
