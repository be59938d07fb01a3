"""The demo as a user runs it: to its end, and cut short."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from swt3_agent.tpm.software import start_software_tpm

DEMO = (sys.executable, "-m", "swt3_agent", "demo")
TIMEOUT_S = 120


def test_the_demo_attests_proves_and_refuses_a_forgery(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--anchors", "50", "--directory", str(tmp_path / "d"), "--json"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    verdicts = {row["procedure_id"]: row["verdict"] for row in shown["attested"]}
    assert verdicts["AI-MDL.1"] == "PASS"
    assert "50 of 50 acknowledged" in done.stderr
    assert "LEAF_MISMATCH" in done.stderr
    assert left_by_the_demo(tmp_path) == []


def test_without_a_tpm_the_demo_says_that_nobody_signs(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    done = subprocess.run(
        [*DEMO, "--anchors", "5", "--directory", str(directory)],
        env={**os.environ, "SWT3_TPM_TCTI": "none"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "NO TPM signs the log" in done.stdout
    assert "the head is signed by NOTHING" in done.stdout
    assert "UNDECIDED (LOG_UNSIGNED)" in done.stdout
    assert "exit code 4" in done.stdout
    (fsck,) = [line for line in done.stdout.splitlines() if " fsck " in line]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SWT3_")}
    command = [*DEMO[:-1], *shlex.split(fsck)[1:]]
    assert subprocess.run(command, env=environment, check=False).returncode == 0


def test_the_demo_takes_the_tpm_it_is_told_to(tmp_path: Path) -> None:
    with start_software_tpm(tmp_path / "tpm") as tpm:
        done = subprocess.run(
            [*DEMO, "--anchors", "5", "--directory", str(tmp_path / "d")],
            env={**os.environ, "SWT3_TPM_TCTI": tpm.tcti},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert f"TPM: SWT3_TPM_TCTI={tpm.tcti}" in done.stdout
    assert "VERIFIED: " in done.stdout
    assert not (tmp_path / "d" / "tpm").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_outlives_a_demo_that_is_cut_short(tmp_path: Path, number: signal.Signals) -> None:
    directory = tmp_path / "d"
    with subprocess.Popen(
        [*DEMO, "--directory", str(directory)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as demo:
        deadline = time.monotonic() + TIMEOUT_S
        while not (directory / "intake.sock").exists():
            assert demo.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(demo.pid, number)
        assert demo.wait(TIMEOUT_S) == 130
    assert left_by_the_demo(tmp_path) == []


def left_by_the_demo(directory: Path) -> list[str]:
    """Command lines of processes that have to do with ``directory`` and do not end by themselves.

    A verb that was just started is a process of its own for a moment longer.
    """
    _, alive = psutil.wait_procs(started_by_the_demo(directory), timeout=20)
    return [" ".join(process.cmdline()) for process in alive]


def started_by_the_demo(directory: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        texts = (*(process.info["cmdline"] or []), *(process.info["environ"] or {}).values())
        if process.pid != os.getpid() and any(str(directory) in text for text in texts):
            found.append(process)
    return found
