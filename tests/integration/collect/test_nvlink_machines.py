"""NVLink as a claim of its own: what joins the GPUs of each machine, and what a fault changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.protocol.appraisal import Outcome, appraise_nvlink
from swt3_agent.protocol.evidence import Evidence, Lack, Reading, Unavailable
from tests.support.nvml import Machine

MachineMaker = Callable[[str], Machine]


def read(machine: Machine, driver: Path) -> tuple[Reading, Any]:
    reading = machine.collector(driver).collect()
    assert isinstance(reading, Evidence), reading
    return reading, reading.claims["nvlink"]


@pytest.mark.parametrize(
    ("name", "interconnect", "summary", "links", "pairs"),
    [
        ("dgx-h100", "nvswitch", "8 GPUs, NV18 all-to-all through 4 NVSwitches", 18, 28),
        ("hgx-a100", "nvswitch", "8 GPUs, NV12 all-to-all through 6 NVSwitches", 12, 28),
        ("h100-direct", "nvlink", "4 GPUs, NV6 all-to-all directly", 6, 6),
        ("a100-pcie", "pcie", "4 GPUs, none of 48 NVLinks is up", 0, 6),
        ("l40s", "pcie", "4 GPUs, no NVLink", 0, 6),
        ("laptop", "none", "1 GPU, no NVLink", 0, 0),
    ],
)
def test_each_machine_is_joined_as_it_is(
    machine: MachineMaker,
    driver: Path,
    name: str,
    interconnect: str,
    summary: str,
    links: int,
    pairs: int,
) -> None:
    reading, nvlink = read(machine(name), driver)
    assert (nvlink["interconnect"], nvlink["summary"]) == (interconnect, summary)
    assert [pair["links"] for pair in nvlink["matrix"]] == [links] * pairs
    (appraisal,) = appraise_nvlink(reading)
    assert (appraisal.outcome, appraisal.subject) == (Outcome.RECORDED, "nvlink")
    assert appraisal.procedure_id is None
    assert [reason.detail for reason in appraisal.reasons] == [summary]


def test_the_evidence_is_said_in_words(machine: MachineMaker, driver: Path) -> None:
    _, nvlink = read(machine("dgx-h100"), driver)
    assert nvlink["evidence"] == [
        "144 links that are up end at a switch",
        "4 NVSwitches are on the PCI bus",
    ]
    assert nvlink["fabric"] == {"completed": 8}
    assert nvlink["speeds_mbps"] == [26562]
    assert (nvlink["links_up"], nvlink["links_down"], nvlink["links_unreadable"]) == (144, 0, 0)


def test_a_link_down_shows_in_every_pair_of_its_gpu(machine: MachineMaker, driver: Path) -> None:
    _, nvlink = read(machine("dgx-h100").change("link 2 7", state=0), driver)
    hurt = [pair for pair in nvlink["matrix"] if pair["links"] == 17]
    assert len(hurt) == 7
    assert all(any(gpu.startswith("GPU-00000002") for gpu in pair["gpus"]) for pair in hurt)
    assert nvlink["summary"] == (
        "8 GPUs, NV17 to NV18 all-to-all through 4 NVSwitches, 1 of 144 links down"
    )


def test_a_direct_pair_counts_only_where_both_ends_are_up(
    machine: MachineMaker, driver: Path
) -> None:
    cut = machine("h100-direct")
    for link in range(6):  # GPU 0 to GPU 1; GPU 1 still says that its ends are up
        cut.change(f"link 0 {link}", state=0)
    _, nvlink = read(cut, driver)
    assert [pair["links"] for pair in nvlink["matrix"]] == [0, 6, 6, 6, 6, 6]
    assert nvlink["summary"] == "4 GPUs, NV6 between 5 of 6 pairs directly, 6 of 72 links down"


def test_hidden_links_are_unknown_and_not_zero(machine: MachineMaker, driver: Path) -> None:
    _, nvlink = read(machine("dgx-h100").change("gpu *", mig=1), driver)
    assert {pair["links"] for pair in nvlink["matrix"]} == {None}
    assert nvlink["hidden"] == 8
    assert nvlink["summary"] == "8 GPUs, nvswitch: NVML hides links"


def test_a_fabric_that_is_not_ready_is_counted(machine: MachineMaker, driver: Path) -> None:
    _, nvlink = read(machine("dgx-h100").change("gpu 2", fabric_state=2), driver)
    assert nvlink["fabric"] == {"completed": 7, "in progress": 1}


def test_a_lost_gpu_is_in_no_pair(machine: MachineMaker, driver: Path) -> None:
    _, nvlink = read(machine("dgx-h100").change("gpu 3", everything="error 15"), driver)
    assert len(nvlink["matrix"]) == 21
    assert nvlink["summary"] == "7 GPUs, NV18 all-to-all through 4 NVSwitches"


def test_no_reading_says_nothing_of_links() -> None:
    assert appraise_nvlink(Unavailable("gpu", Lack.BUSY, "GPU_TIMEOUT", "slow", "wait")) == ()
