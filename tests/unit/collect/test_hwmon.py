import os
from pathlib import Path

import pytest

from swt3_agent.collect.hwmon import Sensor, read_sensors
from tests.support.hwmon import plug_in


def test_temperatures_and_power_are_read_with_their_labels_and_limits(tmp_path: Path) -> None:
    plug_in(
        tmp_path, 0, "coretemp", temp1_input=41000, temp1_label="Package id 0", temp1_crit=100000
    )
    plug_in(tmp_path, 1, "amdgpu", power1_average=300_000_000, power1_cap=750_000_000)
    assert read_sensors(tmp_path) == (
        Sensor("coretemp", "coretemp.0", "temperature", "Package id 0", 41000, critical=100000),
        Sensor("amdgpu", "amdgpu.1", "power", "power1", 300_000_000, limit=750_000_000),
    )


def test_only_processors_and_accelerators_are_believed(tmp_path: Path) -> None:
    """A board's chip shows inputs with nothing attached."""
    plug_in(tmp_path, 0, "nct6775", temp7_input=127000, temp7_label="AUXTIN2")
    plug_in(tmp_path, 1, "k10temp", temp1_input=52875)
    assert [sensor.of_processor for sensor in read_sensors(tmp_path)] == [False, True]


@pytest.mark.parametrize("content", ["", "hot", "1e3", "9" * 40, "4 1"])
def test_what_is_no_number_is_no_value(tmp_path: Path, content: str) -> None:
    plug_in(tmp_path, 0, "coretemp", temp1_input=content)
    (sensor,) = read_sensors(tmp_path)
    assert (sensor.value, sensor.error) == (None, "is no number")


def test_a_sensor_with_a_fault_has_no_value(tmp_path: Path) -> None:
    plug_in(tmp_path, 0, "coretemp", temp1_input=0, temp1_fault=1)
    (sensor,) = read_sensors(tmp_path)
    assert (sensor.value, sensor.error) == (None, "the sensor reports a fault")


def test_a_sensor_that_cannot_be_read_is_named_with_its_reason(tmp_path: Path) -> None:
    chip = plug_in(tmp_path, 0, "coretemp")
    (chip / "temp1_input").mkdir()
    (sensor,) = read_sensors(tmp_path)
    assert (sensor.value, sensor.error) == (None, "Is a directory")


def test_what_only_bears_the_name_of_an_attribute_keeps_nobody_waiting(tmp_path: Path) -> None:
    chip = plug_in(tmp_path, 0, "coretemp", temp2_input=41000)
    os.mkfifo(chip / "temp1_input")
    os.mkfifo(chip / "temp1_label")
    (chip / "device").unlink()
    (chip / "device").symlink_to("device")
    broken, good = read_sensors(tmp_path)
    assert (broken.value, broken.label, broken.device) == (None, "temp1", "")
    assert (good.value, good.device) == (41000, "")


def test_other_attributes_are_no_sensors(tmp_path: Path) -> None:
    plug_in(tmp_path, 0, "nct6775", fan1_input=900, in0_input=1000, temp1_max=80000, tempx_input=1)
    assert read_sensors(tmp_path) == ()


def test_no_hwmon_means_no_sensors(tmp_path: Path) -> None:
    assert read_sensors(tmp_path) == ()


@pytest.mark.permissions
def test_sensors_that_may_not_be_seen_are_not_absent(tmp_path: Path) -> None:
    chip = plug_in(tmp_path, 0, "coretemp", temp1_input=41000)
    chip.parent.chmod(0)
    try:
        with pytest.raises(PermissionError):
            read_sensors(tmp_path)
    finally:
        chip.parent.chmod(0o755)
