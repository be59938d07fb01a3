"""A TPM that is killed, cut off or stopped, in the middle of what it does for the agent."""

import itertools
import os
import signal
from pathlib import Path

import pytest

from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from tests.integration.tpm.processes import frozen
from tests.support.tpm_proxy import Command, LostError, Once, TpmProxy
from tests.support.victims import Victim, found, head_lack

_OF_A_HEAD = [Command.PCR_EXTEND, Command.QUOTE]


def test_commands_that_are_lost_on_their_way_break_no_chain(
    behind_proxy: Victim, proxy: TpmProxy
) -> None:
    """A bus that hiccups: the TPM is well, and did or did not do what it was told."""
    victim = behind_proxy
    trust = victim.trust()
    for command, when in itertools.product(_OF_A_HEAD, ["before", "after"]):
        once = Once(command, lose)
        setattr(proxy, when, once)
        once.arm()
        status = victim.cover(victim.take())
        assert once.done.is_set(), (command, when)
        assert (found(status), head_lack(status)) == (set(), None), (command, when)
        assert victim.judged(trust).code == "VERIFIED", (command, when)
    victim.assert_nothing_is_lost()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("command", _OF_A_HEAD)
def test_a_tpm_killed_in_the_middle_of_a_command_is_found_reset(
    behind_proxy: Victim,
    room: Path,
    swtpm: SoftwareTpm,
    proxy: TpmProxy,
    command: Command,
    when: str,
) -> None:
    """A TPM that loses its power: its registers are gone, and the system goes on running."""
    victim = behind_proxy
    trust = victim.trust()
    assert victim.judged(trust).code == "VERIFIED"
    once = Once(command, lambda: kill(swtpm))
    setattr(proxy, when, once)
    once.arm()
    victim.take()
    victim.await_lack("TPM_ABSENT", "TPM_FAILED")
    assert once.done.is_set()
    last = victim.take()  # without a TPM as well
    with start_software_tpm(room / "tpm"):
        status = victim.cover(last)
        assert "TPM_RESET_UNDER_RUNNING_SYSTEM" in found(status)
        assert victim.judged(trust).code == "HEAD_RESET"
        victim.assert_nothing_is_lost()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_step_of_the_counter_that_is_cut_short_is_explained(
    behind_proxy: Victim, proxy: TpmProxy, when: str
) -> None:
    victim = behind_proxy
    trust = victim.trust()
    victim.stop()
    once = Once(Command.NV_INCREMENT, lose)
    setattr(proxy, when, once)
    once.arm()
    victim.start()
    assert once.done.wait(20)
    victim.take()
    victim.kill()
    victim.start()
    status = victim.status()
    assert (found(status), status["counter"]["error"]) == (set(), None)
    assert victim.judged(trust).code == "VERIFIED"
    victim.assert_nothing_is_lost()


def lose() -> None:
    raise LostError


def kill(swtpm: SoftwareTpm) -> None:
    os.kill(swtpm.pid, signal.SIGKILL)
    swtpm.stop()
    raise LostError


def test_a_tpm_that_is_stopped_delays_signatures_and_nothing_else(
    impatient: Victim, swtpm: SoftwareTpm
) -> None:
    victim = impatient
    trust = victim.trust()
    with frozen(swtpm):
        victim.take()
        status = victim.await_lack("TPM_BUSY")
        assert not status["log"]["checkpoint_signed"]
        assert "TPM_BUSY" in {reason["code"] for reason in status["readiness"]["reasons"]}
        last = victim.take()
    status = victim.cover(last)
    assert (found(status), head_lack(status)) == (set(), None)
    assert victim.judged(trust).code == "VERIFIED"
    victim.assert_nothing_is_lost()
