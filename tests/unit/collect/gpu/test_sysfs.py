from pathlib import Path

import pytest

from swt3_agent.collect.gpu.sysfs import is_device_node_denied, read_module
from tests.support.nvml import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine("dgx-h100", tmp_path)


def test_the_module_is_described_as_far_as_it_is_given(machine: Machine) -> None:
    module = read_module(machine.root)
    assert module == {"version": "590.48.01", "srcversion": None, "taint": None}


@pytest.mark.permissions
def test_the_control_node_that_may_not_be_opened_is_told(machine: Machine) -> None:
    assert not is_device_node_denied(machine.root)
    (machine.root / "dev/nvidiactl").chmod(0)
    assert is_device_node_denied(machine.root)
