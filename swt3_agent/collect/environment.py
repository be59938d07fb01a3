"""EnvironmentCollector: temperature and power, from NVML and from the kernel's own sensors."""

from collections.abc import Mapping

from swt3_agent.collect.gpu.driver import SENSORS, NvmlDriver
from swt3_agent.collect.gpu.reading import Number, SensorReading, Unreadable
from swt3_agent.collect.hwmon import Sensor, read_sensors
from swt3_agent.collect.pci import PciInventory, read_inventory
from swt3_agent.protocol.evidence import Evidence, Lack, Reading, RootOfTrust, Unavailable

SLOWDOWNS: Mapping[int, str] = {
    0x8: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
"""Reasons of nvml.h for which clocks are held down by heat or by the supply of power. The others
are chosen or harmless: idle, application clocks, sync boost, display."""

POWER_CAP = 0x4
"""The driver keeps the GPU at its power limit: how any that is fully loaded runs all day."""


class EnvironmentCollector:
    """Claims: ``gpus`` sorted by UUID, each ``uuid``, ``pci``, ``temperature_c``, ``power_mw``,
    ``power_limit_mw``, ``slowdowns`` (bits), ``slowed_by`` (words of ``SLOWDOWNS``) and
    ``power_capped``, where a value that NVML would not give is ``{"error": code}`` (the last two:
    null); ``gpu_count`` that the PCI bus shows; ``gpu_lack`` (null, or ``lack``, ``code``,
    ``detail``: why no GPU answered); ``sensors`` of the kernel (collect/hwmon.py), those of a
    processor marked ``of_processor``.
    """

    name = "environment"

    def __init__(self, driver: NvmlDriver, *, interval_s: float = 300.0) -> None:
        self.interval_s = interval_s
        self._driver = driver

    @property
    def timeout_s(self) -> float:
        """The longest that a reading takes, the wait for the driver included."""
        return self._driver.timeout_s

    def collect(self) -> Reading:
        """Take one reading. A driver that does not answer costs the kernel's sensors nothing."""
        root = self._driver.root
        try:
            pci, sensors = read_inventory(root), read_sensors(root)
        except OSError as error:
            return Unavailable(
                self.name,
                Lack.DENIED if isinstance(error, PermissionError) else Lack.FAILED,
                "ENVIRONMENT_UNREADABLE",
                f"sysfs cannot be read: {error}",
                "let the agent read /sys/bus/pci/devices and /sys/class/hwmon",
            )
        gpus, lack = self._ask(pci)
        if not gpus and not sensors:
            if lack is not None:
                return lack
            return Unavailable(
                self.name,
                Lack.ABSENT,
                "ENVIRONMENT_NO_SENSOR",
                "the kernel shows no sensor on this node, and there is no GPU with one",
                "nothing, in a virtual machine; else load the drivers of the sensors",
            )
        trust = RootOfTrust.DRIVER_REPORTED if gpus else RootOfTrust.SELF_REPORTED
        return Evidence(self.name, trust, _claims(gpus, lack, pci, sensors))

    def _ask(self, pci: PciInventory) -> tuple[list[SensorReading], Unavailable | None]:
        if not pci.own_gpus and not self._driver.shows():
            return [], None
        report = self._driver.ask(SENSORS, self.name, pci)
        if not isinstance(report, Unavailable):
            return report.sensors, None
        return [], None if report.lack is Lack.ABSENT else report


def _claims(
    gpus: list[SensorReading],
    lack: Unavailable | None,
    pci: PciInventory,
    sensors: tuple[Sensor, ...],
) -> dict[str, object]:
    return {
        "gpus": [_gpu(gpu) for gpu in sorted(gpus, key=lambda gpu: str(gpu.uuid))],
        "gpu_count": len(pci.own_gpus),
        "gpu_lack": None
        if lack is None
        else {"lack": lack.lack.value, "code": lack.code, "detail": lack.detail},
        "sensors": [
            {**sensor.as_json(), "of_processor": sensor.of_processor} for sensor in sensors
        ],
    }


def _gpu(gpu: SensorReading) -> dict[str, object]:
    return {
        "uuid": _value(gpu.uuid),
        "pci": _value(gpu.pci),
        "temperature_c": _value(gpu.temperature),
        "power_mw": _value(gpu.power),
        "power_limit_mw": _value(gpu.power_limit),
        "slowdowns": _value(gpu.slowdowns),
        "slowed_by": None
        if isinstance(gpu.slowdowns, Unreadable)
        else [words for bit, words in SLOWDOWNS.items() if gpu.slowdowns & bit],
        "power_capped": None
        if isinstance(gpu.slowdowns, Unreadable)
        else bool(gpu.slowdowns & POWER_CAP),
    }


def _value(value: Number | str) -> object:
    return {"error": value.error} if isinstance(value, Unreadable) else value
