"""What the daemon says when it cannot start, and who may use what it leaves."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.agent import AgentProcess, IntakeConnection


def test_an_unknown_key_stops_the_start_with_a_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("clearing_levl: 3\n")
    refused = AgentProcess(tmp_path).cli("run", "--config", str(file))
    assert refused.returncode == 78
    assert "clearing_level" in refused.stderr


def test_a_state_directory_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "thesis.tex").write_text("mine")
    refused = AgentProcess(tmp_path).cli("attest", "host")
    assert refused.returncode == 1
    assert "STATE_NOT_OURS" in refused.stderr
    assert [path.name for path in state.iterdir()] == ["thesis.tex"]


def test_state_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path)
    assert agent.cli("attest", "host").returncode == 0
    (agent.state_dir / "VERSION").write_text("2\n")
    refused = agent.cli("run")
    assert refused.returncode == 1
    assert "STATE_VERSION" in refused.stderr


def test_a_missing_state_directory_is_named_with_its_remedy(tmp_path: Path) -> None:
    refused = AgentProcess(tmp_path).cli("log")
    assert refused.returncode == 1
    assert "remedy" in refused.stderr


def test_state_and_sockets_are_private(agent_without_tpm: AgentProcess) -> None:
    agent = agent_without_tpm
    for path in [agent.state_dir, *agent.state_dir.rglob("*")]:
        if path.suffix == ".tmp":
            continue  # on its way to its name while we look
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path} is {mode:o}"
    assert stat.S_IMODE(agent.intake.stat().st_mode) == 0o660
    control = agent.root / "control.sock"
    assert stat.S_IMODE(control.stat().st_mode) == 0o660


@pytest.mark.permissions
def test_a_read_only_state_directory_is_denied_by_name(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o500)
    refused = AgentProcess(tmp_path).cli("attest", "host")
    assert refused.returncode == 1
    assert "STATE_DENIED" in refused.stderr


def test_a_full_disk_is_pressure_not_loss(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mount = tmp_path / "small"
    mount.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", mount], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this root may not mount a file system")
    try:
        _fill_and_recover(mount)
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


def _fill_and_recover(mount: Path) -> None:
    from tests.support.anchors import submission

    ballast = mount / "ballast"
    acknowledged = 0
    with AgentProcess(mount) as agent, IntakeConnection(agent.intake) as intake:
        ballast.write_bytes(bytes(2 << 20))
        refused = None
        for batch in range(2000):
            answer = intake.ask(submission(200, batch))
            if not answer["ok"]:
                refused = answer
                break
            acknowledged += answer["accepted"]
        assert refused is not None
        assert (refused["code"], refused["retryable"]) == ("DISK_FULL", True)
        assert agent.json("status")["running"]
    records = agent.records()
    assert sum(record["kind"] == "relayed" for record in records) == acknowledged


@pytest.mark.parametrize("taken", ["intake", "control"])
def test_a_start_that_cannot_succeed_records_nothing(tmp_path: Path, taken: str) -> None:
    agent = AgentProcess(tmp_path)
    assert agent.cli("attest", "host").returncode == 0
    before = agent.records()
    (tmp_path / f"{taken}.sock").write_text("no socket")
    refused = agent.cli("run")
    assert refused.returncode == 1
    assert "SOCKET_NOT_OURS" in refused.stderr
    assert agent.records() == before
    assert [path.name for path in tmp_path.glob("*.sock")] == [f"{taken}.sock"]


def test_a_socket_in_a_missing_directory_records_nothing(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path, SWT3_AGENT_SOCKET=str(tmp_path / "absent" / "intake.sock"))
    refused = agent.cli("run")
    assert refused.returncode == 1
    assert "SOCKET_PATH" in refused.stderr
    assert not list((agent.state_dir / "journal").glob("*"))


def test_the_log_of_the_daemon_says_what_signs(agent_without_tpm: AgentProcess) -> None:
    _, log = agent_without_tpm.stop()
    assert "tpm=none heads=unsigned" in log
    assert "the log is unsigned: this node was told to run without a TPM" in log


def test_a_software_tpm_is_called_no_root_of_trust(agent: AgentProcess) -> None:
    _, log = agent.stop()
    assert "tpm=software-tpm heads=signed" in log
    assert "a software TPM signs the log: it is no root of trust" in log


def test_a_reading_that_outlasts_its_interval_is_told_in_our_own_words(tmp_path: Path) -> None:
    with (tmp_path / "model").open("wb") as model:
        model.truncate(1 << 42)
    file = tmp_path / "agent.yaml"
    file.write_text(
        f"agent: {{models: [{{name: m, path: {tmp_path}/model}}], intervals: {{weights: 1}}}}\n"
    )
    agent = AgentProcess(tmp_path, arguments=("--config", str(file)))
    with agent:
        agent.await_log("still running, so not started again job=weights")
        _, log = agent.stop()
    assert "Execution of job" not in log
