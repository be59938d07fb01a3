"""A state directory that comes back from yesterday, or is there twice: the TPM remembers."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from tests.support.software_tpm import short_directory
from tests.support.victims import Victim, found

LogWith = Callable[[Path, str], Victim]
Booted = Callable[[], list[str]]


@pytest.fixture
def booted(room: Path) -> Booted:
    """Words before a command that run it in a boot of its own, a new one with each call."""

    def boot() -> list[str]:
        boot_id = room / f"boot-{uuid4()}"
        boot_id.write_text(f"{uuid4()}\n")
        mount = f'mount --bind {boot_id} /proc/sys/kernel/random/boot_id && exec "$@"'
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        return ["unshare", *as_root, "--mount", "--", "sh", "-c", mount, "sh"]

    return boot


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory


def test_a_log_of_yesterday_in_the_same_boot_is_told_and_does_not_verify(
    victim: Victim, elsewhere: Path
) -> None:
    trust = victim.trust()
    victim.stop()
    shutil.copytree(victim.state_dir, elsewhere / "yesterday")
    known = set(victim.acknowledged)
    victim.start()
    victim.cover(victim.take())
    assert victim.judged(trust).code == "VERIFIED"
    victim.stop()
    shutil.rmtree(victim.state_dir)
    shutil.copytree(elsewhere / "yesterday", victim.state_dir)
    victim.acknowledged = known
    victim.start()
    status = victim.cover(victim.take())
    assert found(status) == {"LOG_PCR_FOREIGN_EXTEND", "COUNTER_GAP"}
    assert victim.judged(trust).code == "HEAD_CHAIN"
    victim.assert_nothing_is_lost()


def test_a_log_of_yesterday_is_told_after_a_reset_too(
    room: Path, swtpm: SoftwareTpm, elsewhere: Path, booted: Booted
) -> None:
    """No register remembers it then: the counter does."""
    victim = Victim(room, swtpm.tcti, wrapper=booted())
    with victim:
        trust = victim.trust()
    shutil.copytree(victim.state_dir, elsewhere / "yesterday")
    known = set(victim.acknowledged)
    with victim:
        victim.cover(victim.take())
    shutil.rmtree(victim.state_dir)
    shutil.copytree(elsewhere / "yesterday", victim.state_dir)
    victim.acknowledged = known
    swtpm.stop()
    again = Victim(room, swtpm.tcti, wrapper=booted())
    with start_software_tpm(room / "tpm"), again:
        again.acknowledged = known
        status = again.cover(again.take())
        assert found(status) == {"COUNTER_GAP"}
        assert again.judged(trust).code == "COUNTER_GAP"
        again.assert_nothing_is_lost()


def test_a_reboot_alone_is_no_finding(room: Path, swtpm: SoftwareTpm, booted: Booted) -> None:
    """What the tests beside this one would find if they found too much."""
    victim = Victim(room, swtpm.tcti, wrapper=booted())
    with victim:
        trust = victim.trust()
    swtpm.stop()
    again = Victim(room, swtpm.tcti, wrapper=booted())
    with start_software_tpm(room / "tpm"), again:
        assert found(again.cover(again.take())) == set()
        assert again.judged(trust).code == "VERIFIED"


@pytest.mark.parametrize("at_once", [True, False])
def test_a_log_that_is_kept_twice_verifies_at_most_once(
    victim: Victim, swtpm: SoftwareTpm, elsewhere: Path, at_once: bool
) -> None:
    trust = victim.trust()
    victim.stop()
    twin = Victim(elsewhere, swtpm.tcti)
    shutil.copytree(victim.state_dir, twin.state_dir)
    twin.acknowledged = set(victim.acknowledged)
    victim.start()
    victim.cover(victim.take())
    if not at_once:
        victim.stop()
    with twin:
        status = twin.cover(twin.take())
        assert "LOG_PCR_FOREIGN_EXTEND" in found(status)
        assert twin.judged(trust).code == "HEAD_CHAIN"
        twin.assert_nothing_is_lost()
        if not at_once:
            twin.stop()
            victim.start()
        status = victim.cover(victim.take())
        assert "LOG_PCR_FOREIGN_EXTEND" in found(status)
        assert victim.judged(trust).code == "HEAD_CHAIN"
        victim.assert_nothing_is_lost()
        if not at_once:
            twin.start()
