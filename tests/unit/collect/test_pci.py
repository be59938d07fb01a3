from pathlib import Path

import pytest

from swt3_agent.collect.pci import PciInventory, read_inventory
from tests.support.nvml import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine("dgx-h100", tmp_path)


def test_gpus_and_switches_are_told_apart_and_sorted(machine: Machine) -> None:
    inventory = read_inventory(machine.root)
    assert [device.address[5:7] for device in inventory.gpus] == [
        "18", "2a", "3a", "5d", "9a", "ab", "ba", "db",
    ]  # fmt: skip
    assert [device.address[5:7] for device in inventory.switches] == ["05", "06", "07", "08"]
    first = inventory.gpus[0]
    assert (first.device, first.subsystem, first.driver) == ("2330", "10de:16c1", "nvidia")


def test_a_vga_controller_is_a_gpu_too(tmp_path: Path) -> None:
    assert len(read_inventory(Machine("laptop", tmp_path).root).gpus) == 1


def test_another_vendors_device_and_a_sound_function_are_none(machine: Machine) -> None:
    (machine.pci("0000:18:00.0") / "vendor").write_text("0x8086\n")
    (machine.pci("0000:2a:00.0") / "class").write_text("0x040300\n")
    assert len(read_inventory(machine.root).gpus) == 6


def test_a_virtual_function_is_part_of_a_device_that_is_counted_already(machine: Machine) -> None:
    (machine.pci("0000:2a:00.0") / "physfn").symlink_to(machine.pci("0000:18:00.0"))
    assert len(read_inventory(machine.root).gpus) == 7


def test_a_device_for_a_virtual_machine_does_not_belong_to_the_host(machine: Machine) -> None:
    machine.bind("0000:db:00.0", "vfio-pci")
    inventory = read_inventory(machine.root)
    assert (len(inventory.gpus), len(inventory.own_gpus)) == (8, 7)


def test_a_device_without_driver_has_none(machine: Machine) -> None:
    (machine.pci("0000:18:00.0") / "driver").unlink()
    assert read_inventory(machine.root).gpus[0].driver is None


def test_no_pci_bus_means_no_devices(tmp_path: Path) -> None:
    assert read_inventory(tmp_path) == PciInventory()


@pytest.mark.permissions
def test_a_bus_that_may_not_be_read_is_no_empty_bus(machine: Machine) -> None:
    devices = machine.root / "sys/bus/pci/devices"
    devices.chmod(0)
    try:
        with pytest.raises(PermissionError):
            read_inventory(machine.root)
    finally:
        devices.chmod(0o755)
