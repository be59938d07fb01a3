"""The fake NVIDIA driver of tests/nvml, and the /sys, /proc and /dev of the machine it plays."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from swt3_agent.collect.gpu.collector import GpuCollector
from swt3_agent.collect.gpu.driver import NvmlDriver

SOURCES = Path(__file__).parent.parent / "nvml"
MACHINE_VARIABLE = "FAKE_NVML_MACHINE"


def build_driver(directory: Path, *, old: bool = False, machine: str | None = None) -> Path:
    """Compile libnvidia-ml.so.1 into ``directory``; ``old`` lacks what drivers of 2019 lack.

    ``machine`` is which machine it plays where nothing in its environment says so.
    """
    library = directory / "libnvidia-ml.so.1"
    warnings = ("-Wall", "-Wextra", "-Werror")
    options = ("-std=c11", "-D_GNU_SOURCE", *warnings, *(["-DOLD_DRIVER"] if old else []))
    if machine is not None:
        description = SOURCES / "machines" / f"{machine}.machine"
        options = (*options, f'-DMACHINE_FILE="{description}"')
    shared = ("-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1", "-o", str(library))
    sources = (str(SOURCES / "nvml.c"), str(SOURCES / "machine.c"))
    subprocess.run(["cc", *options, *shared, *sources], check=True)
    return library


class Machine:
    """One machine description in a directory of its own, with changes, and its system tree."""

    def __init__(self, name: str, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "root"
        self.description = directory / f"{name}.machine"
        self.description.write_text((SOURCES / "machines" / f"{name}.machine").read_text())
        self._plug_in()

    def change(self, section: str, **values: object) -> "Machine":
        """Override keys of a section: ``change("gpu 3", everything="error 15")``; "" is the system.

        What the PCI bus shows stays as it was: it is the driver that answers differently.
        """
        keys = "\n".join(f"{key} = {value}" for key, value in values.items())
        text = self.description.read_text()
        # Keys of the system stand before the first section.
        self.description.write_text(
            f"{text}\n[{section}]\n{keys}\n" if section else _before_sections(text, keys)
        )
        return self

    def collector(self, library: Path | None, **options: float) -> GpuCollector:
        """A collector that meets this machine through ``library``."""
        return GpuCollector(self.driver(library, **options))

    def driver(self, library: Path | None, **options: float) -> NvmlDriver:
        """The driver of this machine, reached through ``library``."""
        return NvmlDriver(
            root=self.root,
            library_path=library,
            extra_env={MACHINE_VARIABLE: str(self.description)},
            **options,
        )

    def pci(self, address: str) -> Path:
        """The directory of one device in the tree's sysfs."""
        return self.root / "sys/bus/pci/devices" / address

    def _plug_in(self) -> None:
        system, sections = _parse(self.description.read_text())
        for name, values in sections.items():
            kind, _, number = name.partition(" ")
            if kind in ("gpu", "switch") and number != "*":
                every = sections.get(f"{kind} *", {})
                self._add_device({**every, **values}, "0680" if kind == "switch" else "0302")
        self._write("sys/module/nvidia/version", system["driver"])
        self._write("proc/driver/nvidia/version", f"NVRM version: {system['driver']}")
        self._write("dev/nvidiactl", "")

    def _add_device(self, values: Mapping[str, str], pci_class: str) -> None:
        device, vendor = _identifiers(values["pci_device"])
        subsystem, subsystem_vendor = _identifiers(values.get("pci_subsystem", "0x000010DE"))
        entry = f"sys/bus/pci/devices/{values['pci']}"
        self._write(f"{entry}/vendor", vendor)
        self._write(f"{entry}/device", device)
        self._write(f"{entry}/subsystem_vendor", subsystem_vendor)
        self._write(f"{entry}/subsystem_device", subsystem)
        self._write(f"{entry}/class", f"0x{values.get('pci_class', pci_class)}00")
        self.bind(values["pci"], "nvidia")

    def plug(self, address: str, vendor: str, device: str, pci_class: str) -> "Machine":
        """Put a device of any maker on the bus; identifiers as hex digits."""
        entry = f"sys/bus/pci/devices/{address}"
        for name, digits in (("vendor", vendor), ("device", device), ("class", pci_class + "00")):
            self._write(f"{entry}/{name}", f"0x{digits}")
        for part in ("vendor", "device"):
            self._write(f"{entry}/subsystem_{part}", "0x0000")
        return self

    def bind(self, address: str, driver: str) -> "Machine":
        """Bind a device to a kernel driver."""
        link = self.pci(address) / "driver"
        link.unlink(missing_ok=True)
        target = self.root / "sys/bus/pci/drivers" / driver
        target.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
        return self

    def _write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")


def _before_sections(text: str, keys: str) -> str:
    head, bracket, rest = text.partition("[")
    return f"{head}{keys}\n\n{bracket}{rest}"


def _identifiers(value: str) -> tuple[str, str]:
    """NVML's 0x233010DE as sysfs has it: device 0x2330, vendor 0x10de."""
    digits = value.removeprefix("0x").lower()
    return f"0x{digits[:4]}", f"0x{digits[4:]}"


def _parse(text: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    system: dict[str, str] = {}
    sections: dict[str, dict[str, str]] = {}
    current = system
    for line in (re.sub("#.*", "", line).strip() for line in text.splitlines()):
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), {})
        elif line:
            key, _, value = line.partition("=")
            current[key.strip()] = value.strip()
    return system, sections
