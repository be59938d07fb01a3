"""The child process that asks NVML for temperature and power, and nothing else.

python -m swt3_agent.collect.gpu.sensors [--library FILE]
"""

import sys
from typing import Any

from swt3_agent.collect.gpu import reading
from swt3_agent.collect.gpu.nvml import Nvml, serve
from swt3_agent.collect.gpu.reader import pci_address
from swt3_agent.collect.gpu.reading import Number, Report, SensorReading, Unreadable


def read_sensors(nvml: Nvml) -> Report:
    """Read every GPU's sensors. Raises NVMLError where the driver counts no GPUs."""
    return Report(sensors=[_sensors(nvml, device) for device in nvml.devices()])


def _sensors(nvml: Nvml, device: Any) -> SensorReading:
    if isinstance(device, Unreadable):
        return SensorReading(*[device] * len(SensorReading.__struct_fields__))
    return SensorReading(
        uuid=nvml.text("nvmlDeviceGetUUID", device),
        pci=pci_address(nvml.ask("nvmlDeviceGetPciInfo", device)),
        temperature=_first(
            nvml,
            ("nvmlDeviceGetTemperatureV", device, nvml.api.NVML_TEMPERATURE_GPU),
            ("nvmlDeviceGetTemperature", device, nvml.api.NVML_TEMPERATURE_GPU),
        ),
        power=nvml.number("nvmlDeviceGetPowerUsage", device),
        power_limit=_first(
            nvml,
            ("nvmlDeviceGetEnforcedPowerLimit", device),
            ("nvmlDeviceGetPowerManagementLimit", device),
        ),
        slowdowns=_first(
            nvml,
            ("nvmlDeviceGetCurrentClocksEventReasons", device),
            ("nvmlDeviceGetCurrentClocksThrottleReasons", device),
        ),
    )


def _first(nvml: Nvml, *calls: tuple[Any, ...]) -> Number:
    """The answer of the first call that this driver knows."""
    answer: Number = Unreadable(reading.FUNCTION_NOT_FOUND)
    for function, *arguments in calls:
        answer = nvml.number(function, *arguments)
        if answer != Unreadable(reading.FUNCTION_NOT_FOUND):
            return answer
    return answer


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:], read_sensors))
