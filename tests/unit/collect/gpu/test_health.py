from typing import Any

import pytest

from swt3_agent.collect.gpu import health
from swt3_agent.collect.gpu.reading import GpuReading, Unreadable
from swt3_agent.collect.pci import PciDevice, PciInventory
from tests.unit.collect.gpu.readings import NOT_SUPPORTED, address, gpu, link, pcie_gpu, unreachable


def problems(one: GpuReading, *, behind_switch: bool = True) -> list[str]:
    return [found.code for found in health.gpu_problems(one, behind_switch=behind_switch)]


def warnings(one: GpuReading) -> list[str]:
    return [found.code for found in health.gpu_warnings(one)]


def device(number: int, driver: str | None = "nvidia") -> PciDevice:
    return PciDevice(address(number), "2330", "10de:16c1", driver)


def test_a_healthy_gpu_has_neither_problems_nor_warnings() -> None:
    assert problems(gpu()) == []
    assert warnings(gpu()) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"memory_bytes": Unreadable(15)}, "GPU_LOST"),
        ({"serial": Unreadable(16)}, "GPU_RESET_REQUIRED"),
        ({"uuid": Unreadable(999)}, "GPU_UNREADABLE"),
        ({"fabric_state": 1}, "FABRIC_NOT_READY"),
        ({"fabric_state": 2}, "FABRIC_NOT_READY"),
        ({"fabric_status": 999}, "FABRIC_FAILED"),
        ({"fabric_health_summary": 2}, "FABRIC_UNHEALTHY"),
        ({"fabric_health_summary": 3}, "FABRIC_UNHEALTHY"),
        ({"remap_failure": 1}, "ROW_REMAP_FAILED"),
        ({"recovery_action": 2}, "RECOVERY_NEEDED"),
        ({"recovery_action": 99}, "RECOVERY_NEEDED"),
        ({"links": [link(), link(0), link()]}, "LINK_DOWN"),
        ({"links": [link(0), link(0)]}, "LINK_DOWN"),
    ],
)
def test_each_fault_is_a_problem_of_its_own(change: dict[str, Any], code: str) -> None:
    assert problems(gpu(**change)) == [code]


@pytest.mark.parametrize(
    "healthy",
    [
        pytest.param(gpu(fabric_clique=0, fabric_cluster="00" * 16), id="HGX with clique 0"),
        pytest.param(gpu(fabric_health_summary=1), id="fabric that reports itself healthy"),
        pytest.param(pcie_gpu(fabric_state=0, fabric_status=3), id="no fabric, status set"),
        pytest.param(pcie_gpu(fabric_state=NOT_SUPPORTED), id="no fabric call"),
        pytest.param(
            pcie_gpu(link_count=12, links=[link(0) for _ in range(12)]), id="no NVLink bridge"
        ),
        pytest.param(
            gpu(mig_mode=1, link_count=NOT_SUPPORTED, links=[], remap_failure=NOT_SUPPORTED),
            id="MIG",
        ),
        pytest.param(gpu(links=[link(2), link(3)]), id="links that sleep"),
    ],
)
def test_what_is_normal_somewhere_is_no_problem(healthy: GpuReading) -> None:
    assert problems(healthy, behind_switch=False) == []


def test_the_links_that_are_down_are_named() -> None:
    links = [link(), link(0), link(), link(0)]
    (found,) = health.gpu_problems(gpu(links=links), behind_switch=True)
    assert found.detail == "2 of 4 NVLinks are down: 1, 3"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ecc_uncorrected_volatile": 2}, "ECC_UNCORRECTED"),
        ({"remap_pending": 1}, "MEMORY_REPAIR_PENDING"),
        ({"retired_pages_pending": 1}, "MEMORY_REPAIR_PENDING"),
        ({"links": [link(), link(state=Unreadable(999))]}, "LINK_UNREADABLE"),
        ({"compute_mode": Unreadable(999)}, "FIELD_FAILED"),
        ({"vbios": Unreadable(10)}, "FIELD_FAILED"),
    ],
)
def test_what_does_not_fail_the_node_is_a_warning(change: dict[str, Any], code: str) -> None:
    assert warnings(gpu(**change)) == [code]
    assert problems(gpu(**change)) == []


def test_switches_on_the_bus_make_links_expected_even_if_every_one_is_down() -> None:
    dead = [pcie_gpu(number, link_count=2, links=[link(0), link(0)]) for number in range(2)]
    assert not health.is_behind_switch(dead, PciInventory())
    switch = PciDevice("0000:05:00.0", "22a3", "10de:0000", None)
    assert health.is_behind_switch(dead, PciInventory((), (switch,)))
    assert problems(dead[0], behind_switch=True) == ["LINK_DOWN"]


def test_a_gpu_on_the_bus_that_nvml_does_not_show_is_named() -> None:
    inventory = PciInventory((device(0), device(1), device(2, driver=None)))
    found = health.missing_from_nvml([gpu(0)], inventory)
    assert [one.code for one in found] == ["GPU_NOT_IN_NVML", "GPU_NOT_IN_NVML"]
    assert address(1) in found[0].detail
    assert "kernel driver: none" in found[1].detail


def test_a_gpu_that_gives_no_address_accounts_for_one_that_is_missing() -> None:
    inventory = PciInventory((device(0), device(1)))
    assert health.missing_from_nvml([gpu(0), unreachable(15)], inventory) == []


def test_a_gpu_given_to_a_virtual_machine_is_said_and_not_missed() -> None:
    inventory = PciInventory((device(0), device(1, driver="vfio-pci")))
    assert health.missing_from_nvml([gpu(0)], inventory) == []
    assert [found.code for found in health.given_away(inventory)] == ["GPU_GIVEN_AWAY"]


def test_every_finding_says_what_to_do() -> None:
    lost = gpu(serial=Unreadable(16), links=[link(), link(0)], fabric_state=1, recovery_action=1)
    found = health.gpu_problems(lost, behind_switch=True)
    assert len(found) == 4
    assert all(one.detail and one.remedy for one in found)
