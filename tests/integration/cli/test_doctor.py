"""`doctor` beside a daemon, without one, and where a driver is not what it should be."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.config.settings import TpmSettings
from swt3_agent.daemon.doctor.finding import Level
from swt3_agent.daemon.doctor.machine import check_gpus, check_tpm
from swt3_agent.tpm.software import SoftwareTpm
from tests.support.agent import AgentProcess
from tests.support.nvml import Machine, build_driver


def examine(agent: AgentProcess, status: int) -> dict[str, dict[str, Any]]:
    """The checks of `doctor --json` that found something, by code."""
    done = agent.cli("doctor", "--json")
    assert done.returncode == status, done.stdout + done.stderr
    shown = json.loads(done.stdout)
    assert shown["schema"] == "swt3-agent/doctor/1"
    assert shown["healthy"] == (status == 0)
    for check in shown["checks"]:
        assert (check["level"] == "OK") == (check["code"] is None) == (check["remedy"] is None)
    return {check["code"]: check for check in shown["checks"] if check["code"]}


def test_a_daemon_that_is_ready_is_healthy(room: Path) -> None:
    with AgentProcess(room) as agent:
        agent.json("attest")
        found = examine(agent, 0)
        assert "AGENT_STOPPED" not in found
        printed = agent.cli("doctor")
        assert "it runs and is ready" in printed.stdout
        assert "0 failed" in printed.stdout


def test_without_a_daemon_it_says_so_and_reads_the_log(room: Path) -> None:
    agent = AgentProcess(room)
    assert examine(agent, 0)["AGENT_STOPPED"]["level"] == "WARN"
    with agent:
        pass
    assert "can be read" in examine(agent, 0)["AGENT_STOPPED"]["detail"]


def test_root_may_look_at_the_stopped_agent_of_another_user(room: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a directory away")
    agent = AgentProcess(room)
    with agent:
        pass
    os.chown(agent.state_dir, 65534, 65534)
    found = examine(agent, 0)["AGENT_STOPPED"]
    assert "'#65534' swt3-agent doctor" in found["remedy"]


def test_what_a_daemon_lacks_is_a_failure_with_its_remedy(room: Path) -> None:
    with AgentProcess(room, f"device:{room}/none") as agent:
        agent.json("attest")
        found = examine(agent, 1)
        assert found["TPM_ABSENT"]["level"] == "FAIL"
        assert found["TPM_ABSENT"]["remedy"]
        assert "loader" not in str(found)


def test_a_library_slipped_into_the_daemon_is_named(room: Path) -> None:
    agent = AgentProcess(room, LD_LIBRARY_PATH="/nowhere")
    with agent:
        del agent.environment["LD_LIBRARY_PATH"]
        details = examine_details(agent)
        assert any("set for the agent" in detail for detail in details)


def examine_details(agent: AgentProcess) -> list[str]:
    return [check["detail"] for check in agent.json("doctor")["checks"]]


def test_a_configuration_that_is_wrong_is_told_whole(room: Path) -> None:
    agent = AgentProcess(room, SWT3_CLEARING_LEVEL="9")
    found = examine(agent, 1)
    assert set(found) == {"CONFIG_VALUE"}


def test_it_takes_arguments_of_the_usual_kind(room: Path) -> None:
    assert AgentProcess(room).cli("doctor", "--nonsense").returncode == 2


def test_a_software_tpm_is_a_warning(swtpm: SoftwareTpm) -> None:
    (found,) = check_tpm(TpmSettings(tcti=swtpm.tcti))
    assert (found.level, found.code) == (Level.WARN, "SOFTWARE_TPM")


def test_beside_a_daemon_the_tpm_is_named_as_without_one(swtpm: SoftwareTpm, room: Path) -> None:
    with AgentProcess(room, swtpm.tcti) as agent:
        assert examine(agent, 0)["SOFTWARE_TPM"]["level"] == "WARN"
    with AgentProcess(room, "none") as agent:
        assert examine(agent, 0)["LOG_UNSIGNED"]["level"] == "WARN"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_driver(tmp_path_factory.mktemp("driver"))


def test_gpus_that_answer_are_good(library: Path, tmp_path: Path) -> None:
    found = list(check_gpus(Machine("dgx-h100", tmp_path).collector(library), None))
    assert found[-1].level is Level.OK
    assert "8 GPUs answer" in found[-1].detail


def test_no_library_for_gpus_on_the_bus_fails(tmp_path: Path) -> None:
    machine = Machine("dgx-h100", tmp_path)
    (found,) = check_gpus(machine.collector(tmp_path / "none.so.1"), None)
    assert found.level is Level.FAIL
    assert found.remedy


def test_a_driver_of_another_version_than_its_module_fails(library: Path, tmp_path: Path) -> None:
    machine = Machine("dgx-h100", tmp_path)
    machine.change("", init="error 18")
    (found,) = check_gpus(machine.collector(library), None)
    assert found.level is Level.FAIL
    assert "mismatch" in f"{found.code} {found.detail}".lower()
