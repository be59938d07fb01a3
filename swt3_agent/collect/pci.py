"""What the kernel shows of accelerators without any driver's help: devices on the PCI bus.

It is the inventory that a driver's word is held against, and all there is where no driver speaks:
claims from here are reported by the kernel, which names vendors and device ids, no serials.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from swt3_agent.collect.attributes import read_attribute

NVIDIA, AMD, HABANA, AMAZON = "10de", "1002", "1da3", "1d0f"
VENDORS = {NVIDIA: "NVIDIA", AMD: "AMD", HABANA: "Intel Gaudi", AMAZON: "AWS Neuron"}

_VGA, _3D, _DISPLAY, _BRIDGE, _ACCELERATOR = "0300", "0302", "0380", "0680", "1200"
_CLASSES = {
    NVIDIA: {_VGA, _3D, _ACCELERATOR},
    AMD: {_DISPLAY, _ACCELERATOR},  # its VGA controllers drive screens; Instinct cards are none
    HABANA: {_ACCELERATOR},
}
# AWS gives its accelerators a class that other devices share: Inferentia 1 and 2, Trainium 1 to 3.
_NEURON = {"7064", "7065", "7066", "7067", "7164", "7264", "7364", "7564", "7565"}
_MOST_TEXT = 64  # bytes of an attribute


@dataclass(frozen=True, slots=True)
class PciDevice:
    """One device. ``address`` as sysfs names it, identifiers as four hex digits."""

    address: str
    device: str
    subsystem: str  # "vendor:device"
    driver: str | None  # the kernel driver that is bound to it
    vendor: str = NVIDIA

    @property
    def given_away(self) -> bool:
        """Handed to a virtual machine: a driver on this host cannot see it."""
        return self.driver in ("vfio-pci", "pci-stub", "xen-pciback")

    def as_json(self) -> dict[str, object]:
        """The device as a claim."""
        return {
            "address": self.address,
            "vendor": self.vendor,
            "vendor_name": VENDORS.get(self.vendor, self.vendor),
            "device": self.device,
            "subsystem": self.subsystem,
            "driver": self.driver,
        }


@dataclass(frozen=True, slots=True)
class PciInventory:
    """NVIDIA GPUs and NVSwitches, and accelerators of other makers, each sorted by address."""

    gpus: tuple[PciDevice, ...] = ()
    switches: tuple[PciDevice, ...] = ()
    others: tuple[PciDevice, ...] = ()

    @property
    def own_gpus(self) -> tuple[PciDevice, ...]:
        """The GPUs that belong to this host and not to a virtual machine."""
        return tuple(device for device in self.gpus if not device.given_away)

    @property
    def own_others(self) -> tuple[PciDevice, ...]:
        """Accelerators of other makers that belong to this host."""
        return tuple(device for device in self.others if not device.given_away)

    def claims(self) -> dict[str, object]:
        """``pci_count`` accelerators that belong to this host, and ``pci``: all of them."""
        return {
            "pci_count": len(self.own_gpus) + len(self.own_others),
            "nvswitch_count": len(self.switches),
            "pci": [device.as_json() for device in (*self.gpus, *self.others)],
        }


def read_inventory(root: Path) -> PciInventory:
    """Read sys/bus/pci/devices below ``root``. Raises ``OSError`` when sysfs may not be read.

    A machine without a PCI bus has no such directory, and so no devices. Virtual functions are
    left out: they are parts of a device that is counted already.
    """
    devices = root / "sys/bus/pci/devices"
    gpus: list[PciDevice] = []
    switches: list[PciDevice] = []
    others: list[PciDevice] = []
    try:
        entries = sorted(devices.iterdir())
    except FileNotFoundError:
        return PciInventory()
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):  # unplugged while we looked
            vendor, kind = _identifier(entry, "vendor"), _identifier(entry, "class")[:4]
            if vendor not in VENDORS or (entry / "physfn").exists():
                continue
            if vendor == NVIDIA and kind == _BRIDGE:  # how an NVSwitch shows itself
                switches.append(_device(entry, vendor))
            elif kind in _CLASSES.get(vendor, ()) or (
                vendor == AMAZON and _identifier(entry, "device") in _NEURON
            ):
                (gpus if vendor == NVIDIA else others).append(_device(entry, vendor))
    return PciInventory(tuple(gpus), tuple(switches), tuple(others))


def _device(entry: Path, vendor: str) -> PciDevice:
    driver = entry / "driver"
    subsystem = [_identifier(entry, f"subsystem_{part}") for part in ("vendor", "device")]
    return PciDevice(
        address=entry.name,
        device=_identifier(entry, "device"),
        subsystem=":".join(subsystem),
        driver=driver.readlink().name if driver.is_symlink() else None,
        vendor=vendor,
    )


def _identifier(entry: Path, name: str) -> str:
    """Hex digits without the "0x" in front."""
    return read_attribute(entry / name, _MOST_TEXT).lower().removeprefix("0x")
