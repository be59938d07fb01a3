"""A software TPM that booted like a real machine, and the logs of that machine."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from swt3_agent.probe.wire import Log
from swt3_agent.tpm.software import start_software_tpm
from tests.support.agent import AgentProcess
from tests.support.boot_logs import extends_of, ima_entry, ima_ng, real_log
from tests.support.probe import serve_probe, write_log
from tests.support.software_tpm import short_directory, tpm2

MACHINE = "rhel8-uefi"
IMA = [ima_ng(f"/bin/{number}", bytes(32)) for number in range(3)]


@pytest.fixture
def room() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory


def agent_in(room: Path, tcti: str) -> tuple[AgentProcess, tuple[str, str]]:
    settings = room / "agent.yaml"
    settings.write_text(f"agent:\n  probe:\n    socket: {room / 'socket'}\n")
    config = ("--config", str(settings))
    return AgentProcess(room, tcti, arguments=config), config


def test_the_tpm_vouches_for_the_log_of_its_boot_and_for_no_other(room: Path) -> None:
    write_log(room, Log.BOOT, real_log(MACHINE))
    write_log(room, Log.IMA, b"".join(map(ima_entry, IMA)))
    with start_software_tpm(room / "tpm") as tpm, serve_probe(room / "socket", room):
        tpm2(tpm.tcti, "pcrextend", *extends_of(real_log(MACHINE)))
        measured = [f"10:sha256={hashlib.sha256(data).hexdigest()}" for data in IMA[:2]]
        tpm2(tpm.tcti, "pcrextend", *measured)
        agent, config = agent_in(room, tpm.tcti)
        with agent:
            boot = agent.json("boot-log", *config)
            ima = agent.json("boot-log", "--ima", *config)
            write_log(room, Log.BOOT, real_log("ubuntu-2104-no-dbx"))
            other = agent.cli("boot-log", *config)

    assert boot["matched"] == [*range(10), 14]
    assert (boot["differing"], boot["lack"]) == ([], None)
    assert boot["values"]["secure-boot"] == ["enabled"]
    assert (ima["entries"], ima["reached"], ima["hashing"]) == (3, 2, "sha256")
    assert other.returncode == 0
    assert "NOT AS QUOTED" in other.stdout
    assert "secure-boot " not in other.stdout


def test_without_a_tpm_nothing_vouches_and_without_a_probe_there_is_no_log(room: Path) -> None:
    large = real_log(MACHINE) + bytes(8 * 2**20)  # the control socket takes it
    write_log(room, Log.BOOT, large)
    agent, config = agent_in(room, "none")
    with agent:
        with serve_probe(room / "socket", room):
            boot = agent.json("boot-log", *config)
        refused = agent.cli("boot-log", *config)
    assert (boot["quoted"], boot["matched"], boot["bytes"]) == (None, None, len(large))
    assert boot["lack"]["code"] == "TPM_ABSENT"
    assert refused.returncode == 1
    assert "PROBE_ABSENT" in refused.stderr
