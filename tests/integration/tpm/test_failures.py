"""What happens when the TPM, its owner process, or the agent goes away."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from swt3_agent.errors import TpmError
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tpm import child
from swt3_agent.tpm.client import Tpm
from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from tests.integration.tpm.conftest import OpenTpm
from tests.integration.tpm.processes import (
    frozen,
    kill_and_wait,
    process_of,
    wait_for_end,
    while_waiting_for_an_answer,
)
from tests.support.software_tpm import tpm2

HANG_TIMEOUT_S = 4.0

_AGENT = """
import sys
from pathlib import Path
from swt3_agent.tpm.client import Tpm

tpm = Tpm(sys.argv[1], Path(sys.argv[2]), quoted_pcrs=(13,))
tpm.open()
print(tpm.process_id, flush=True)
sys.stdin.read(1)
tpm.clock()
"""


def code_of(tpm: Tpm) -> str:
    with pytest.raises(TpmError) as caught:
        tpm.extend_and_quote(b"head\n")
    assert caught.value.remedy
    return caught.value.code


def test_a_tpm_that_hangs_keeps_no_agent_from_its_end(
    open_tpm: OpenTpm, swtpm: SoftwareTpm
) -> None:
    tpm = open_tpm(timeout_s=600.0)
    tpm.open()
    with frozen(swtpm):
        tpm.end_within(0.5)
        assert [code_of(tpm) for _ in range(2)] == ["TPM_BUSY"] * 2


def test_a_killed_owner_is_replaced_and_its_leftovers_are_flushed(
    open_tpm: OpenTpm, swtpm: SoftwareTpm
) -> None:
    tpm = open_tpm()
    identity = tpm.open()
    for _ in range(5):
        kill_and_wait(process_of(tpm))
        tpm.extend_and_quote(b"head\n")
    assert tpm.open() == identity
    kill_and_wait(process_of(tpm))
    assert tpm2(swtpm.tcti, "getcap", "handles-transient").count("0x") == 2  # the key, its parent
    assert tpm2(swtpm.tcti, "getcap", "handles-loaded-session") == ""


def test_an_owner_killed_in_the_middle_of_a_call_fails_that_call_alone(
    open_tpm: OpenTpm, swtpm: SoftwareTpm
) -> None:
    tpm = open_tpm()
    tpm.open()
    pid = process_of(tpm)
    with frozen(swtpm), while_waiting_for_an_answer(lambda: os.kill(pid, signal.SIGKILL)):
        assert code_of(tpm) == "TPM_FAILED"
    assert tpm.extend_and_quote(b"head\n").pcrs


def test_the_signals_of_a_terminal_or_unit_do_not_end_the_owner(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    tpm.open()
    pid = process_of(tpm)
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    tpm.extend_and_quote(b"head\n")
    assert process_of(tpm) == pid
    tpm.close()
    wait_for_end(pid)


def test_a_tpm_that_dies_is_absent_until_it_is_back(
    open_tpm: OpenTpm, swtpm: SoftwareTpm, room: Path
) -> None:
    tpm = open_tpm()
    identity = tpm.open()
    os.kill(swtpm.pid, signal.SIGKILL)
    swtpm.stop()
    assert code_of(tpm) == "TPM_ABSENT"
    assert code_of(tpm) == "TPM_ABSENT"
    with start_software_tpm(room / "tpm"):
        assert tpm.extend_and_quote(b"head\n").before == bytes(32)
        assert tpm.open() == identity
        tpm.close()


def test_a_tpm_that_restarts_between_calls_costs_no_call(
    open_tpm: OpenTpm, swtpm: SoftwareTpm, room: Path
) -> None:
    tpm = open_tpm()
    tpm.open()
    os.kill(swtpm.pid, signal.SIGKILL)
    swtpm.stop()
    with start_software_tpm(room / "tpm"):
        assert tpm.challenge(b"a nonce!").pcrs[13] == bytes(32)
        tpm.close()


def test_a_tpm_that_hangs_is_busy_for_all_who_wait_and_then_works_again(
    open_tpm: OpenTpm, swtpm: SoftwareTpm
) -> None:
    tpm = open_tpm(HANG_TIMEOUT_S)
    identity = tpm.open()
    pid = process_of(tpm)
    codes: list[str] = []
    callers = [
        threading.Thread(target=lambda: codes.append(code_of(tpm)), daemon=True) for _ in range(3)
    ]
    with frozen(swtpm):
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(10 * HANG_TIMEOUT_S)
        assert codes == ["TPM_BUSY"] * 3
        wait_for_end(pid, 0)
    head = tpm.extend_and_quote(b"head\n")
    assert tpm.open() == identity
    assert tpm.read_pcrs((13,)) == {13: head.pcrs[13]}


def test_no_second_owner_starts_beside_one_that_does_not_die(
    open_tpm: OpenTpm, swtpm: SoftwareTpm, monkeypatch: pytest.MonkeyPatch
) -> None:
    tpm = open_tpm(HANG_TIMEOUT_S)
    tpm.open()
    pid = process_of(tpm)
    monkeypatch.setattr(child, "KILL_WAIT_S", 0.0)
    # The kernel's part: a process inside a driver does not act on a signal.
    monkeypatch.setattr(subprocess.Popen, "kill", lambda self: None)
    with frozen(swtpm):
        assert code_of(tpm) == "TPM_BUSY"
        with pytest.raises(TpmError, match=f"process {pid} is stuck"):
            tpm.clock()
        wait_for_end(pid)  # it ends by itself once it sees that nobody listens
    assert tpm.clock().clock_ms > 0


def test_an_interrupted_call_leaves_no_answer_for_the_next(
    open_tpm: OpenTpm, swtpm: SoftwareTpm
) -> None:
    tpm = open_tpm()
    tpm.open()
    main = threading.get_ident()
    with (
        frozen(swtpm),
        pytest.raises(KeyboardInterrupt),
        while_waiting_for_an_answer(lambda: signal.pthread_kill(main, signal.SIGINT)),
    ):
        tpm.challenge(b"the nonce of the first")
    nonce = b"the nonce of the second"
    assert parse_attest(tpm.challenge(nonce).attest).extra_data == nonce


def test_the_owner_dies_with_the_agent_even_inside_a_call(swtpm: SoftwareTpm, room: Path) -> None:
    agent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _AGENT,
            swtpm.tcti,
            str(room / "keys"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with agent:
        assert agent.stdout is not None
        assert agent.stdin is not None
        pid = int(agent.stdout.readline())
        with frozen(swtpm):
            agent.stdin.write(b"\n")
            agent.stdin.flush()
            agent.kill()
            agent.wait(30)
            wait_for_end(pid)


def test_threads_take_turns(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    errors: list[Exception] = []

    def work() -> None:
        try:
            for number in range(5):
                tpm.challenge(b"nonce %d" % number * 2)
                tpm.extend_and_quote(b"head\n")
        except TpmError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []


def test_a_closed_handle_refuses(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    tpm.open()
    tpm.close()
    assert code_of(tpm) == "TPM_FAILED"
    assert tpm.process_id is None


@pytest.mark.parametrize("tcti", ["device:/dev/no-such-tpm", "swtpm:path=/no/such/socket"])
def test_a_tpm_that_is_not_there_is_absent(room: Path, tcti: str) -> None:
    assert code_of(Tpm(tcti, room / "keys", quoted_pcrs=(13,))) == "TPM_ABSENT"
    assert not (room / "keys").exists()


def test_the_owner_takes_no_code_from_the_working_directory(
    room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("swt3_agent", "msgspec"):
        (room / name).mkdir()
        (room / name / "__init__.py").write_text("raise SystemExit('chosen by a stranger')")
    monkeypatch.chdir(room)
    assert code_of(Tpm("device:/dev/no-such-tpm", room / "keys", quoted_pcrs=(13,))) == "TPM_ABSENT"


def test_a_device_that_is_no_tpm_has_failed(room: Path) -> None:
    assert code_of(Tpm("device:/dev/null", room, quoted_pcrs=(13,))) == "TPM_FAILED"


@pytest.mark.permissions
def test_a_device_of_another_user_is_denied(room: Path) -> None:
    device = room / "tpmrm0"
    device.touch(mode=0)
    with pytest.raises(TpmError) as caught:
        Tpm(f"device:{device}", room / "keys", quoted_pcrs=(13,)).open()
    assert caught.value.code == "TPM_DENIED"
    assert "tss" in caught.value.remedy


@pytest.mark.permissions
def test_a_socket_of_another_user_is_denied(swtpm: SoftwareTpm, room: Path) -> None:
    (room / "tpm" / "tpm.sock.ctrl").chmod(0)
    assert code_of(Tpm(swtpm.tcti, room / "keys", quoted_pcrs=(13,))) == "TPM_DENIED"


@pytest.mark.permissions
def test_a_key_directory_of_another_user_takes_no_key(swtpm: SoftwareTpm, room: Path) -> None:
    keys_dir = room / "keys"
    keys_dir.mkdir(mode=0o500)
    assert code_of(Tpm(swtpm.tcti, keys_dir, quoted_pcrs=(13,))) == "TPM_KEY_NOT_STORED"
    assert list(keys_dir.iterdir()) == []
