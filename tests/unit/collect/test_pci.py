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


@pytest.mark.parametrize(
    ("vendor", "device", "pci_class", "maker"),
    [
        ("1002", "74a1", "1200", "AMD"),
        ("1002", "740f", "0380", "AMD"),
        ("1da3", "1020", "1200", "Intel Gaudi"),
        ("1d0f", "7364", "0880", "AWS Neuron"),
    ],
)
def test_accelerators_of_other_makers_are_counted(
    machine: Machine, vendor: str, device: str, pci_class: str, maker: str
) -> None:
    inventory = read_inventory(machine.plug("0000:f0:00.0", vendor, device, pci_class).root)
    (found,) = inventory.own_others
    assert found.as_json() == {
        "address": "0000:f0:00.0",
        "vendor": vendor,
        "vendor_name": maker,
        "device": device,
        "subsystem": "0000:0000",
        "driver": None,
    }
    assert inventory.claims()["pci_count"] == 9
    assert inventory.claims()["nvswitch_count"] == 4


@pytest.mark.parametrize(
    ("vendor", "device", "pci_class"),
    [
        ("1a03", "2000", "0300"),  # the screen of a management controller
        ("1002", "164e", "0300"),  # graphics within a processor
        ("1d0f", "ec20", "0200"),  # a network adapter of the same maker
        ("10de", "22ba", "0403"),  # the sound of a GPU
    ],
)
def test_what_only_looks_like_one_is_none(
    machine: Machine, vendor: str, device: str, pci_class: str
) -> None:
    before = read_inventory(machine.root)
    assert read_inventory(machine.plug("0000:f0:00.0", vendor, device, pci_class).root) == before


def test_an_nvidia_processing_accelerator_is_a_gpu(machine: Machine) -> None:
    assert len(read_inventory(machine.plug("0000:f0:00.0", "10de", "2941", "1200").root).gpus) == 9


def test_identifiers_are_read_within_bounds(machine: Machine) -> None:
    (machine.pci("0000:18:00.0") / "device").write_text("0x" + "f" * 10_000)
    assert len(read_inventory(machine.root).gpus[0].device) < 64


def test_a_driver_that_is_a_link_to_itself_is_no_crash(machine: Machine) -> None:
    link = machine.pci("0000:18:00.0") / "driver"
    link.unlink()
    link.symlink_to("driver")
    assert read_inventory(machine.root).gpus[0].driver == "driver"


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
