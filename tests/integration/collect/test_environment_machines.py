"""Temperature and power through unmodified pynvml, and from a kernel's sensors."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from swt3_agent.collect.environment import EnvironmentCollector
from swt3_agent.collect.gpu.collector import GpuCollector
from swt3_agent.protocol.appraisal import Appraisal, Outcome, appraise_environment
from swt3_agent.protocol.evidence import Evidence, Lack, Reading, RootOfTrust, Unavailable
from tests.support.hwmon import plug_in
from tests.support.nvml import Machine

MachineMaker = Callable[[str], Machine]


def read(machine: Machine, library: Path | None, **options: float) -> Reading:
    return EnvironmentCollector(machine.driver(library, **options)).collect()


def appraised(reading: Reading) -> tuple[Appraisal, Appraisal]:
    temperature, power = appraise_environment(reading, 85)
    return temperature, power


@pytest.mark.parametrize(
    ("name", "temperature", "power"),
    [
        ("dgx-h100", (59, 85, 1), (629, 70, 0)),
        ("h100-direct", (41, 85, 1), (118, 582, 0)),
        ("a100-pcie", (44, 85, 1), (62, 238, 0)),
        ("l40s", (54, 85, 1), (110, 239, 0)),
        ("laptop", (47, 85, 1), None),
    ],
)
def test_each_machine_is_as_warm_as_it_says(
    machine: MachineMaker,
    driver: Path,
    name: str,
    temperature: tuple[int, int, int],
    power: tuple[int, int, int] | None,
) -> None:
    reading = read(machine(name), driver)
    assert isinstance(reading, Evidence), reading
    assert reading.root_of_trust is RootOfTrust.DRIVER_REPORTED
    assert [found.factors for found in appraised(reading)] == [temperature, power]


def test_an_old_driver_is_asked_by_its_older_calls(machine: MachineMaker, old_driver: Path) -> None:
    temperature, power = appraised(read(machine("hgx-a100"), old_driver))
    assert (temperature.factors, power.factors) == ((38, 85, 1), (91, 309, 0))


def test_one_hot_gpu_fails_the_node(machine: MachineMaker, driver: Path) -> None:
    hot = machine("dgx-h100").change("gpu 5", temperature=91, slowdowns="0x60")
    temperature, power = appraised(read(hot, driver))
    assert (temperature.outcome, temperature.factors) == (Outcome.FAIL, (91, 85, 0))
    assert (power.outcome, power.factors) == (Outcome.FAIL, (629, 70, 1))
    assert "software thermal slowdown, hardware thermal slowdown" in power.reasons[0].detail


def test_a_power_cap_is_recorded_and_is_no_throttling(machine: MachineMaker, driver: Path) -> None:
    reading = read(machine("dgx-h100").change("gpu 0", slowdowns="0x4"), driver)
    _, power = appraised(reading)
    assert (power.outcome, power.factors) == (Outcome.PASS, (629, 70, 0))
    claims: Any = reading.claims
    assert [gpu["power_capped"] for gpu in claims["gpus"]].count(True) == 1


def test_a_lost_gpu_is_neither_cool_nor_warm(machine: MachineMaker, driver: Path) -> None:
    reading = read(machine("dgx-h100").change("gpu 3", everything="error 15"), driver)
    claims: Any = reading.claims
    assert claims["gpus"][-1] | {"slowed_by": None} == {
        "uuid": {"error": 15},
        "pci": {"error": 15},
        "temperature_c": {"error": 15},
        "power_mw": {"error": 15},
        "power_limit_mw": {"error": 15},
        "slowdowns": {"error": 15},
        "slowed_by": None,
        "power_capped": None,
    }
    assert {found.outcome for found in appraised(reading)} == {Outcome.NOT_COMPARED}


def test_a_driver_that_hangs_costs_the_kernels_sensors_nothing(
    machine: MachineMaker, driver: Path
) -> None:
    stuck = machine("l40s").change("", init="hang")
    plug_in(stuck.root, 0, "coretemp", temp1_input=55000)
    reading = read(stuck, driver, timeout_s=0.5, first_timeout_s=0.5)
    assert isinstance(reading, Evidence)
    assert reading.root_of_trust is RootOfTrust.SELF_REPORTED
    claims: Any = reading.claims
    assert (claims["gpu_lack"]["lack"], claims["gpu_lack"]["code"]) == ("busy", "GPU_TIMEOUT")
    assert [sensor["value"] for sensor in claims["sensors"]] == [55000]
    temperature, _ = appraised(reading)
    assert temperature.outcome is Outcome.NOT_COMPARED


def test_collectors_that_share_a_driver_that_hangs_hold_one_child(
    machine: MachineMaker, driver: Path
) -> None:
    """Each a whole time limit, one after the other: a second child would only hang beside it."""
    stuck = machine("l40s").change("", init="hang")
    shared = stuck.driver(driver, timeout_s=1.0, first_timeout_s=1.0)
    collectors = (GpuCollector(shared), EnvironmentCollector(shared), GpuCollector(shared))
    before = set(psutil.Process().children())
    seen: set[psutil.Process] = set()
    most = 0
    with ThreadPoolExecutor(len(collectors)) as pool:
        readings = [pool.submit(collector.collect) for collector in collectors]
        while not all(reading.done() for reading in readings):
            children = set(psutil.Process().children()) - before
            seen |= children
            most = max(most, len(children))
    assert (most, len(seen)) == (1, len(collectors))
    for reading in readings:
        found = reading.result()
        assert isinstance(found, Unavailable)
        assert (found.lack, found.code) == (Lack.BUSY, "GPU_TIMEOUT")


def test_a_node_without_gpus_is_as_warm_as_its_processors(tmp_path: Path) -> None:
    bare = Machine("laptop", tmp_path)
    bare.root = tmp_path / "bare"
    plug_in(bare.root, 0, "k10temp", temp1_input=48600, temp1_label="Tctl")
    reading = read(bare, None)
    temperature, power = appraised(reading)
    assert (temperature.outcome, temperature.factors) == (Outcome.PASS, (49, 85, 1))
    assert temperature.root_of_trust is RootOfTrust.SELF_REPORTED
    assert power.outcome is Outcome.NOT_COMPARED


def test_a_node_without_any_sensor_is_absent_and_one_with_a_silent_driver_is_not(
    machine: MachineMaker, driver: Path, tmp_path: Path
) -> None:
    bare = machine("l40s")
    denied = bare.change("", init="error 4")
    reading = read(denied, driver)
    assert isinstance(reading, Unavailable)
    assert (reading.lack, reading.code) == (Lack.DENIED, "GPU_DENIED")
    bare.root = tmp_path / "empty"
    reading = read(bare, None)
    assert isinstance(reading, Unavailable)
    assert (reading.lack, reading.code) == (Lack.ABSENT, "ENVIRONMENT_NO_SENSOR")
