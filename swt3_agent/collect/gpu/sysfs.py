"""What the kernel shows without NVML: devices on the PCI bus, the module, the device node."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

_NVIDIA = "0x10de"
_GPU_CLASSES = ("0x0300", "0x0302")  # VGA controller, 3D controller
_SWITCH_CLASS = "0x0680"  # other bridge: how an NVSwitch shows itself


@dataclass(frozen=True, slots=True)
class PciDevice:
    """One device. ``address`` as sysfs names it, identifiers as four hex digits."""

    address: str
    device: str
    subsystem: str  # "vendor:device"
    driver: str | None  # the kernel driver that is bound to it

    @property
    def given_away(self) -> bool:
        """Handed to a virtual machine: the NVIDIA driver on this host cannot see it."""
        return self.driver in ("vfio-pci", "pci-stub", "xen-pciback")


@dataclass(frozen=True, slots=True)
class PciInventory:
    """NVIDIA GPUs and NVSwitches on the bus, sorted by address."""

    gpus: tuple[PciDevice, ...] = ()
    switches: tuple[PciDevice, ...] = ()

    @property
    def own_gpus(self) -> tuple[PciDevice, ...]:
        """The GPUs that belong to this host and not to a virtual machine."""
        return tuple(device for device in self.gpus if not device.given_away)


def read_inventory(root: Path) -> PciInventory:
    """Read sys/bus/pci/devices below ``root``. Raises ``OSError`` when sysfs may not be read.

    A machine without a PCI bus has no such directory, and so no devices. Virtual functions are
    left out: they are parts of a device that is counted already.
    """
    devices = root / "sys/bus/pci/devices"
    gpus, switches = [], []
    try:
        entries = sorted(devices.iterdir())
    except FileNotFoundError:
        return PciInventory()
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):  # unplugged while we looked
            if _attribute(entry, "vendor") != _NVIDIA or (entry / "physfn").exists():
                continue
            kind = _attribute(entry, "class")[:6]
            if kind in _GPU_CLASSES:
                gpus.append(_device(entry))
            elif kind == _SWITCH_CLASS:
                switches.append(_device(entry))
    return PciInventory(tuple(gpus), tuple(switches))


def _device(entry: Path) -> PciDevice:
    driver = entry / "driver"
    return PciDevice(
        address=entry.name,
        device=_attribute(entry, "device")[2:],
        subsystem=(
            f"{_attribute(entry, 'subsystem_vendor')[2:]}"
            f":{_attribute(entry, 'subsystem_device')[2:]}"
        ),
        driver=driver.resolve().name if driver.is_symlink() else None,
    )


def _attribute(entry: Path, name: str) -> str:
    return (entry / name).read_text(encoding="ascii", errors="replace").strip().lower()


def read_module(root: Path) -> dict[str, str | None]:
    """The loaded nvidia module as sysfs describes it; None for what is not there or not given."""
    module = root / "sys/module/nvidia"
    return {name: _optional(module / name) for name in ("version", "srcversion", "taint")}


def _optional(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def has_driver_trace(root: Path) -> bool:
    """Whether anything of the NVIDIA driver shows in this system, though the PCI bus may not."""
    traces = ("dev/nvidiactl", "proc/driver/nvidia", "sys/module/nvidia")
    return any((root / trace).exists() for trace in traces)


def is_device_node_denied(root: Path) -> bool:
    """Whether the driver's control node is there and this process may not open it."""
    node = root / "dev/nvidiactl"
    return node.exists() and not os.access(node, os.R_OK | os.W_OK)
