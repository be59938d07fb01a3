from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.collect.gpu.reading import GpuReading, Unreadable
from swt3_agent.collect.gpu.topology import (
    Kind,
    classify,
    farthest_level,
    hides_links,
    up_links,
)
from tests.unit.collect.gpu.readings import (
    NOT_SUPPORTED,
    address,
    gpu,
    link,
    pair,
    pcie_gpu,
    unreachable,
)

MIG: dict[str, Any] = {
    "mig_mode": 1,
    "link_count": NOT_SUPPORTED,
    "switch_links": NOT_SUPPORTED,
    "links": [],
}


def all_down(number: int) -> GpuReading:
    return pcie_gpu(number, link_count=12, links=[link(0, remote_type=255) for _ in range(12)])


def direct(number: int, *peers: int) -> GpuReading:
    links = [link(remote=address(peer)) for peer in peers]
    return gpu(number, links=links, fabric_state=0)


def on_bus(count: int) -> list[str]:
    return [address(number) for number in range(count)]


@pytest.mark.parametrize("count", [2, 5, 7, 8, 9, 16])
def test_links_to_switches_make_a_switched_node_whatever_the_count(count: int) -> None:
    shape = classify([gpu(number) for number in range(count)], on_bus(count))
    assert (shape.kind, shape.kind.code, shape.interconnect) == (Kind.SWITCHED, 1, "nvswitch")


def test_the_count_of_switch_links_is_evidence_where_the_remote_type_is_not_readable() -> None:
    links = [link(remote_type=NOT_SUPPORTED, remote_pci=NOT_SUPPORTED)]
    gpus = [gpu(number, links=links, switch_links=1) for number in range(2)]
    assert classify(gpus, on_bus(2)).kind is Kind.SWITCHED


def test_links_to_each_other_make_a_direct_node() -> None:
    shape = classify([direct(0, 1), direct(1, 0)], on_bus(2))
    assert (shape.kind, shape.interconnect) == (Kind.DIRECT, "nvlink")


def test_a_link_to_a_gpu_that_only_the_bus_still_shows_is_direct() -> None:
    gpus = [direct(0, 1, 2), direct(1, 0, 2), unreachable(15)]
    assert classify(gpus, on_bus(3)).kind is Kind.DIRECT


def test_a_link_that_leads_to_no_gpu_of_this_node_proves_nothing() -> None:
    gpus = [direct(number, 77) for number in range(2)]
    shape = classify(gpus, on_bus(2))
    assert (shape.kind, shape.kind.code) == (Kind.UNKNOWN, 3)


def test_gpus_without_nvlink_are_joined_by_pcie() -> None:
    shape = classify([pcie_gpu(number) for number in range(8)], on_bus(8))
    assert (shape.kind, shape.kind.code, shape.interconnect) == (Kind.PCIE, 1, "pcie")


def test_cards_without_a_bridge_have_all_links_down_and_are_joined_by_pcie() -> None:
    assert classify([all_down(number) for number in range(4)], on_bus(4)).kind is Kind.PCIE


def test_a_bridged_pair_beside_unbridged_cards_is_mixed() -> None:
    gpus = [direct(0, 1), direct(1, 0), all_down(2), all_down(3)]
    shape = classify(gpus, on_bus(4))
    assert (shape.kind, shape.kind.code) == (Kind.MIXED, 1)


def test_a_cluster_uuid_makes_the_node_part_of_more_than_itself() -> None:
    gpus = [gpu(number, fabric_cluster="00" * 15 + "01", fabric_clique=4026) for number in range(4)]
    shape = classify(gpus, on_bus(4))
    assert (shape.kind, shape.kind.code, shape.interconnect) == (Kind.MULTI_NODE, 2, "nvswitch")


def test_one_gpu_is_single_and_keeps_what_its_links_show() -> None:
    assert classify([pcie_gpu()], on_bus(1)).interconnect == "none"
    behind_switch = classify([gpu()], on_bus(1))
    assert (behind_switch.kind, behind_switch.kind.code) == (Kind.SINGLE, 0)
    assert behind_switch.interconnect == "nvswitch"


def test_the_last_gpu_of_two_does_not_make_the_node_single() -> None:
    assert classify([gpu(0), unreachable(15)], on_bus(2)).kind is Kind.SWITCHED
    assert classify([pcie_gpu(0)], on_bus(2)).kind is Kind.PCIE


def test_mig_hides_links_and_the_fabric_still_tells_a_switched_node() -> None:
    gpus = [gpu(number, **MIG) for number in range(8)]
    assert all(hides_links(one) for one in gpus)
    assert classify(gpus, on_bus(8)).kind is Kind.SWITCHED


def test_mig_on_one_gpu_does_not_make_the_node_mixed() -> None:
    gpus = [gpu(0, **MIG, fabric_state=0), *(gpu(number) for number in range(1, 8))]
    assert classify(gpus, on_bus(8)).kind is Kind.SWITCHED


def test_mig_everywhere_without_a_fabric_is_unknown_and_not_pcie() -> None:
    gpus = [gpu(number, **MIG, fabric_state=0) for number in range(2)]
    assert classify(gpus, on_bus(2)).kind is Kind.UNKNOWN


def test_no_gpu_that_answers_is_unknown() -> None:
    assert classify([unreachable(15)], on_bus(1)).kind is Kind.UNKNOWN


@pytest.mark.parametrize(("state", "up"), [(0, 0), (1, 1), (2, 1), (3, 1)])
def test_a_link_that_sleeps_or_carries_no_traffic_is_up(state: int, up: int) -> None:
    assert up_links(gpu(links=[link(state)])) == up


def test_the_farthest_pair_is_named_as_nvidia_smi_names_it() -> None:
    assert farthest_level([pair(0, 1, 10), pair(0, 2, 50), pair(1, 2, 40)]) == "SYS"
    assert farthest_level([pair(0, 1, 20)]) == "PXB"
    assert farthest_level([]) is None


@given(
    st.lists(
        st.sampled_from(
            [gpu(), pcie_gpu(), direct(0, 1), all_down(0), unreachable(15), gpu(**MIG)]
        ),
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_gpus_changes_nothing(gpus: list[GpuReading], random: object) -> None:
    shuffled = list(gpus)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis hands out a Random
    assert classify(shuffled, on_bus(len(gpus))) == classify(gpus, on_bus(len(gpus)))


def test_an_error_is_never_a_number_of_links() -> None:
    assert up_links(gpu(links=[link(state=Unreadable(999))])) == 0
