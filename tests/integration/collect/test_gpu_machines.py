"""Whole machines, read by unmodified pynvml in the real child process."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.protocol.appraisal import Outcome, appraise_gpu
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.evidence import Evidence, RootOfTrust
from tests.support.nvml import Machine

MachineMaker = Callable[[str], Machine]
SIX_SYSTEMS = {
    "dgx-h100": (8, "switched", 1, "nvswitch", 18),
    "hgx-a100": (8, "switched", 1, "nvswitch", 12),
    "h100-direct": (4, "direct", 1, "nvlink", 18),
    "a100-pcie": (4, "pcie", 1, "pcie", 0),
    "l40s": (4, "pcie", 1, "pcie", {"error": 3}),
    "laptop": (1, "single", 0, "none", {"error": 3}),
}


def read(machine: Machine, library: Path) -> Evidence:
    reading = machine.collector(library).collect()
    assert isinstance(reading, Evidence), reading
    assert reading.root_of_trust is RootOfTrust.DRIVER_REPORTED
    canonical_json(reading.claims)
    return reading


def claims(machine: Machine, library: Path) -> Mapping[str, Any]:
    return read(machine, library).claims


def gpu(found: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    """The GPU of that number in the description: its UUID starts with it."""
    (one,) = [gpu for gpu in found["gpus"] if str(gpu["uuid"]).startswith(f"GPU-{number:08x}")]
    return dict(one)


def codes(findings: list[Mapping[str, str]]) -> list[str]:
    return [finding["code"] for finding in findings]


@pytest.mark.parametrize("name", SIX_SYSTEMS)
def test_a_healthy_machine_is_recognised_and_passes(
    name: str, machine: MachineMaker, driver: Path
) -> None:
    count, topology, code, interconnect, links_up = SIX_SYSTEMS[name]
    reading = read(machine(name), driver)
    found: Any = reading.claims
    assert (found["count"], found["pci_count"]) == (count, count)
    assert (found["topology"], found["topology_code"]) == (topology, code)
    assert found["interconnect"] == interconnect
    assert [one["links"]["up"] for one in found["gpus"]] == [links_up] * count
    assert found["problems"] == [problem for one in found["gpus"] for problem in one["problems"]]
    assert found["problems"] == []
    assert found["warnings"] == []
    appraisal = appraise_gpu(reading)
    assert (appraisal.outcome, appraisal.factors) == (Outcome.PASS, (count, 1, code))


def test_the_values_of_a_gpu_are_those_of_the_capture(machine: MachineMaker, driver: Path) -> None:
    found = claims(machine("dgx-h100"), driver)
    assert (found["driver"], found["cuda"]) == ("590.48.01", "13.1")
    assert found["module"]["version"] == "590.48.01"
    first = gpu(found, 0)
    assert first["name"] == "NVIDIA H100 80GB HBM3"
    assert first["memory_bytes"] == 81559 * 2**20
    assert first["vbios"] == "96.00.A5.00.01"
    assert first["part_number"] == "692-2G520-0200-000"
    assert first["gsp_firmware"] == "590.48.01"
    assert first["pci"] == "0000:18:00.0"
    assert first["pci_subsystem_id"] == 0x16C110DE
    assert first["links"] == {"present": 18, "up": 18, "to_switch": 18, "speed_mbps": 26562}
    assert first["nvlinks"][0] == {
        "state": 1,
        "remote_type": 2,
        "remote_pci": "0000:07:00.0",
        "remote_port": 46,
        "version": 4,
    }
    assert first["fabric_state"] == 3
    levels = {tuple(pair["gpus"]): pair["level"] for pair in found["pairs"]}
    assert len(levels) == 28
    assert sorted(levels.values()) == ["NODE"] * 12 + ["SYS"] * 16
    assert found["pcie_farthest"] == "SYS"


def test_gpus_are_sorted_by_uuid_and_carry_no_index(machine: MachineMaker, driver: Path) -> None:
    found = claims(machine("hgx-a100"), driver)
    uuids = [one["uuid"] for one in found["gpus"]]
    assert uuids == sorted(uuids)
    assert uuids[0] == "GPU-375df896-019b-a009-42e5-ce9ed21bd8cc"
    assert all("index" not in key and "minor" not in key for one in found["gpus"] for key in one)


def test_what_a_gpu_does_not_support_is_an_error_and_neither_zero_nor_left_out(
    machine: MachineMaker, driver: Path
) -> None:
    found = claims(machine("laptop"), driver)
    (one,) = found["gpus"]
    assert one["serial"] == {"error": 3}
    assert one["ecc_uncorrected_volatile"] == {"error": 3}
    assert one["links"]["present"] == {"error": 3}
    assert one.keys() == gpu(claims(machine("dgx-h100"), driver), 0).keys()


def test_the_library_that_answered_is_recorded(machine: MachineMaker, driver: Path) -> None:
    library = claims(machine("laptop"), driver)["library"]
    assert library["path"] == str(driver)
    assert library["inode"] == str(driver.stat().st_ino)
    assert library["uid"] == driver.stat().st_uid
    assert library["consistent"] is True


def test_a_link_down_is_a_problem_of_its_gpu_only(machine: MachineMaker, driver: Path) -> None:
    broken = machine("dgx-h100").change("link 2 7", state=0)
    reading = read(broken, driver)
    found: Any = reading.claims
    assert gpu(found, 2)["links"] == {"present": 18, "up": 17, "to_switch": 17, "speed_mbps": 26562}
    assert codes(gpu(found, 2)["problems"]) == ["LINK_DOWN"]
    assert "1 of 18 NVLinks are down: 7" in gpu(found, 2)["problems"][0]["detail"]
    assert [len(one["problems"]) for one in found["gpus"]] == [0, 0, 1, 0, 0, 0, 0, 0]
    assert found["topology"] == "switched"
    appraisal = appraise_gpu(reading)
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (8, 0, 1))


def test_a_gpu_off_the_fabric_is_told_from_its_links(machine: MachineMaker, driver: Path) -> None:
    broken = machine("dgx-h100").change("gpu 2", fabric_state=2)
    assert codes(gpu(claims(broken, driver), 2)["problems"]) == ["FABRIC_NOT_READY"]


def test_completed_and_unhealthy_occurs_and_is_a_problem(
    machine: MachineMaker, driver: Path
) -> None:
    broken = machine("dgx-h100").change("gpu 5", fabric_health=2)
    assert codes(gpu(claims(broken, driver), 5)["problems"]) == ["FABRIC_UNHEALTHY"]


def test_a_driver_that_knows_only_the_older_fabric_call_is_asked_that_way(
    machine: MachineMaker, driver: Path
) -> None:
    found = claims(machine("dgx-h100").change("", fabric_version=2), driver)
    first = gpu(found, 0)
    assert first["fabric_state"] == 3
    assert first["fabric_health_summary"] == {"error": 3}
    assert first["problems"] == []


@pytest.mark.parametrize(
    ("error", "code"), [(15, "GPU_LOST"), (16, "GPU_RESET_REQUIRED"), (999, "GPU_UNREADABLE")]
)
@pytest.mark.parametrize("where", ["everything", "handle"])
def test_a_gpu_that_fails_costs_the_others_nothing(
    machine: MachineMaker, driver: Path, error: int, code: str, where: str
) -> None:
    broken = machine("dgx-h100").change("gpu 3", **{where: f"error {error}"})
    reading = read(broken, driver)
    found: Any = reading.claims
    assert (found["count"], found["pci_count"]) == (7, 8)
    assert [codes(one["problems"]) for one in found["gpus"]] == [[]] * 7 + [[code]]
    assert found["gpus"][7]["uuid"] == {"error": error}
    assert found["topology"] == "switched"
    assert found["problems"] == []
    appraisal = appraise_gpu(reading)
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (7, 0, 1))


def test_a_gpu_whose_identity_still_answers_is_lost_all_the_same(
    machine: MachineMaker, driver: Path
) -> None:
    broken = machine("dgx-h100").change("gpu 3", memory="error 15")
    found = claims(broken, driver)
    assert codes(gpu(found, 3)["problems"]) == ["GPU_LOST"]
    assert gpu(found, 3)["name"] == "NVIDIA H100 80GB HBM3"


def test_a_gpu_that_the_driver_never_saw_is_missed_by_the_bus(
    machine: MachineMaker, driver: Path
) -> None:
    found = claims(machine("l40s").change("", count=3), driver)
    assert (found["count"], found["pci_count"]) == (3, 4)
    assert codes(found["problems"]) == ["GPU_NOT_IN_NVML"]
    assert "0000:82:00.0" in found["problems"][0]["detail"]


def test_a_driver_that_shows_none_of_the_gpus_fails_the_node(
    machine: MachineMaker, driver: Path
) -> None:
    reading = read(machine("l40s").change("", count=0), driver)
    found: Any = reading.claims
    assert codes(found["problems"]) == ["GPU_NOT_IN_NVML"] * 4
    appraisal = appraise_gpu(reading)
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (0, 0, 3))


def test_the_last_of_two_gpus_is_no_single_gpu(machine: MachineMaker, driver: Path) -> None:
    found = claims(machine("l40s").change("", count=1), driver)
    assert found["topology"] == "pcie"


def test_a_gpu_in_a_virtual_machine_is_neither_missed_nor_counted(
    machine: MachineMaker, driver: Path
) -> None:
    shared = machine("l40s").change("", count=3).bind("0000:82:00.0", "vfio-pci")
    reading = read(shared, driver)
    assert (reading.claims["count"], reading.claims["pci_count"]) == (3, 3)
    found: Any = reading.claims
    assert codes(found["warnings"]) == ["GPU_GIVEN_AWAY"]
    assert appraise_gpu(reading).outcome is Outcome.PASS


def test_mig_hides_links_and_is_healthy(machine: MachineMaker, driver: Path) -> None:
    reading = read(machine("dgx-h100").change("gpu *", mig=1), driver)
    found: Any = reading.claims
    assert found["topology"] == "switched"
    assert gpu(found, 0)["links"]["up"] == {"error": 3}
    assert gpu(found, 0)["remap_failure"] == {"error": 3}
    assert codes(found["warnings"]) == ["LINKS_HIDDEN"]
    assert appraise_gpu(reading).outcome is Outcome.PASS


def test_memory_faults_are_told_by_their_weight(machine: MachineMaker, driver: Path) -> None:
    worn = machine("dgx-h100").change("gpu 0", ecc_volatile=3).change("gpu 1", remap_failure=1)
    found = claims(worn, driver)
    assert codes(found["warnings"]) == ["ECC_UNCORRECTED"]
    assert "GPU-00000000-" in found["warnings"][0]["detail"]
    assert codes(gpu(found, 1)["problems"]) == ["ROW_REMAP_FAILED"]


def test_a_cluster_makes_it_multi_node(machine: MachineMaker, driver: Path) -> None:
    cluster = "0123456789abcdef0123456789abcdef"
    joined = machine("dgx-h100").change("gpu *", fabric_cluster=cluster, fabric_clique=4026)
    found = claims(joined, driver)
    assert (found["topology"], found["topology_code"]) == ("multi-node", 2)
    assert gpu(found, 0)["fabric_cluster"] == cluster


def test_an_old_driver_without_newer_symbols_is_read_as_far_as_it_goes(
    machine: MachineMaker, old_driver: Path
) -> None:
    broken = machine("hgx-a100").change("link 0 4", state=0)
    found = claims(broken, old_driver)
    assert found["count"] == 8
    assert found["confidential_computing"] == {"error": 13}
    (hurt,) = [one for one in found["gpus"] if one["problems"]]
    assert codes(hurt["problems"]) == ["LINK_DOWN"]
    assert hurt["links"]["up"] == 11
    assert hurt["remap_failure"] == {"error": 13}
    assert hurt["fabric_state"] == {"error": 13}
    assert found["topology"] == "switched"


def test_sleeping_links_are_up(machine: MachineMaker, driver: Path) -> None:
    found = claims(machine("dgx-h100").change("link * *", state=2), driver)
    assert gpu(found, 0)["links"]["up"] == 18
    assert gpu(found, 0)["problems"] == []


def test_two_readings_of_one_machine_are_equal(machine: MachineMaker, driver: Path) -> None:
    dgx = machine("dgx-h100")
    assert canonical_json(claims(dgx, driver)) == canonical_json(claims(dgx, driver))


def test_nvml_is_believed_where_the_bus_cannot_be_seen(
    machine: MachineMaker, driver: Path, tmp_path: Path
) -> None:
    """In a container /sys may show nothing; the count of the bus then stands beside NVML's."""
    hidden = machine("l40s")
    hidden.root = tmp_path / "empty"
    found = claims(hidden, driver)
    assert (found["count"], found["pci_count"]) == (4, 0)
