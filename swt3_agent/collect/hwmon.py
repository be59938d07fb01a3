"""Sensors as the kernel shows them: /sys/class/hwmon (Documentation/hwmon/sysfs-interface)."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from swt3_agent.collect.attributes import read_attribute

_INPUT = re.compile(r"(temp|power)(\d{1,3})_(?:input|average)")
_NUMBER = re.compile(r"-?\d{1,15}")
_MOST_TEXT = 128  # bytes of an attribute
_MOST_SENSORS = 2048
_PROCESSORS = frozenset(
    {"coretemp", "k10temp", "k8temp", "zenpower", "cpu_thermal", "amdgpu", "xe", "i915"}
)


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor. ``value``, ``critical`` and ``limit`` in millidegrees C or microwatts; None for
    what the kernel does not give. ``error`` says why there is no value."""

    chip: str
    device: str  # what the chip belongs to, as sysfs names it: a PCI address, a platform device
    kind: str  # "temperature" or "power"
    label: str
    value: int | None
    critical: int | None = None
    limit: int | None = None
    error: str | None = None

    @property
    def of_processor(self) -> bool:
        """Whether it measures a processor or an accelerator: drivers of boards also show inputs
        with nothing attached, which read as anything."""
        return self.chip in _PROCESSORS

    def as_json(self) -> dict[str, object]:
        """The sensor as a claim."""
        return {name: getattr(self, name) for name in self.__slots__}


def read_sensors(root: Path) -> tuple[Sensor, ...]:
    """Every sensor below ``root``/sys/class/hwmon, in order; none where there is no such place.

    Raises ``OSError`` when sysfs may not be read.
    """
    try:
        chips = sorted((root / "sys/class/hwmon").iterdir())
    except FileNotFoundError:
        return ()
    sensors: list[Sensor] = []
    for chip in chips:
        with contextlib.suppress(FileNotFoundError):  # unloaded while we looked
            for entry in sorted(chip.iterdir()):
                found = _INPUT.fullmatch(entry.name)
                if found is not None and len(sensors) < _MOST_SENSORS:
                    sensors.append(_sensor(chip, entry, found[1], found[2]))
    return tuple(sensors)


def _sensor(chip: Path, entry: Path, kind: str, number: str) -> Sensor:
    device = chip / "device"
    value, error = None, None
    if _number(chip / f"{kind}{number}_fault"):
        error = "the sensor reports a fault"
    else:
        try:
            value = _parsed(read_attribute(entry, _MOST_TEXT))
        except OSError as failure:
            error = failure.strerror or "cannot be read"
        if value is None and error is None:
            error = "is no number"
    return Sensor(
        chip=_optional(chip / "name") or chip.name,
        device=device.resolve().name if device.exists() else "",
        kind="temperature" if kind == "temp" else "power",
        label=_optional(chip / f"{kind}{number}_label") or f"{kind}{number}",
        value=value,
        critical=_number(chip / f"{kind}{number}_crit"),
        limit=_number(chip / f"{kind}{number}_cap"),
        error=error,
    )


def _number(path: Path) -> int | None:
    return _parsed(_optional(path))


def _optional(path: Path) -> str:
    try:
        return read_attribute(path, _MOST_TEXT)
    except OSError:
        return ""


def _parsed(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None
