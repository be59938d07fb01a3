"""One attestation key after the other, whatever comes in between."""

from collections.abc import Callable
from pathlib import Path

import pytest

from swt3_agent.errors import TpmError
from swt3_agent.protocol.checkpoint import QUOTED_PCRS
from swt3_agent.tcg.public import parse_tpmt
from swt3_agent.tpm.client import Successor, Tpm
from swt3_agent.tpm.software import SoftwareTpm
from swt3_agent.verify.succession import SuccessorLink, check_succession
from tests.integration.tpm.conftest import OpenTpm
from tests.integration.tpm.processes import kill_and_wait, process_of
from tests.support.software_tpm import tpm2
from tests.unit.tcg.vectors import AK_TPMT

LOG_ID = "5eed" * 8
Expect = Callable[[bytes], Tpm]


def link(successor: Successor) -> SuccessorLink:
    return SuccessorLink(successor.ak_public, successor.attest, successor.signature_der)


@pytest.fixture
def expect(swtpm: SoftwareTpm, room: Path) -> Expect:
    """Open the TPM as a node whose log names this key."""

    def make(ak: bytes) -> Tpm:
        return Tpm(swtpm.tcti, room / "keys", quoted_pcrs=QUOTED_PCRS, expected_ak=ak)

    return make


def test_the_old_key_vouches_for_the_new_one(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    old = parse_tpmt(tpm.open().ak_public)
    successor = tpm.prepare_successor(LOG_ID)
    assert check_succession(old, link(successor), LOG_ID).tpmt == successor.ak_public


def test_what_is_prepared_waits_over_crashes_and_the_old_key_signs_meanwhile(
    open_tpm: OpenTpm,
) -> None:
    tpm = open_tpm()
    old = tpm.open().ak_public
    successor = tpm.prepare_successor(LOG_ID)
    kill_and_wait(process_of(tpm))
    assert tpm.prepare_successor(LOG_ID) == successor
    tpm.close()
    tpm = open_tpm()
    assert tpm.challenge(b"who signs").ak_public == old
    assert tpm.prepare_successor(LOG_ID) == successor


def test_a_successor_for_another_log_is_made_anew(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    assert tpm.prepare_successor(LOG_ID) != tpm.prepare_successor("ab" * 16)


def test_a_damaged_successor_is_made_anew(open_tpm: OpenTpm, room: Path) -> None:
    tpm = open_tpm()
    before = tpm.prepare_successor(LOG_ID)
    path = room / "keys" / "ak.next.json"
    path.write_bytes(path.read_bytes()[:-20])
    assert tpm.prepare_successor(LOG_ID).ak_public != before.ak_public


def test_an_adopted_key_signs_in_this_process_and_the_next(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    tpm.open()
    new = tpm.prepare_successor(LOG_ID).ak_public
    for _ in range(2):
        assert tpm.adopt_successor(new).ak_public == new
    assert tpm.open().ak_public == new
    kill_and_wait(process_of(tpm))
    assert tpm.challenge(b"who signs").ak_public == new
    tpm.close()
    assert open_tpm().open().ak_public == new


def test_a_key_that_was_never_prepared_is_not_adopted(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    tpm.open()
    with pytest.raises(TpmError) as caught:
        tpm.adopt_successor(AK_TPMT)
    assert caught.value.code == "TPM_KEY_GONE"


def test_the_log_decides_which_key_is_loaded(open_tpm: OpenTpm, expect: Expect, room: Path) -> None:
    tpm = open_tpm()
    old = tpm.open().ak_public
    new = tpm.prepare_successor(LOG_ID).ak_public
    tpm.close()
    with expect(old) as tpm:  # a crash before the log said anything
        assert tpm.challenge(b"who signs").ak_public == old
        assert (room / "keys" / "ak.next.json").exists()
    with expect(new) as tpm:  # a crash after it did, and before the adoption
        assert tpm.challenge(b"who signs").ak_public == new
        assert not (room / "keys" / "ak.next.json").exists()
    with expect(old) as tpm:  # a log from a backup
        assert tpm.challenge(b"who signs").ak_public == old


def test_keys_follow_each_other_many_times(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    key = parse_tpmt(tpm.open().ak_public)
    for _ in range(6):  # more than there are slots
        key = check_succession(key, link(tpm.prepare_successor(LOG_ID)), LOG_ID)
        assert tpm.adopt_successor(key.tpmt).ak_public == key.tpmt


def test_the_counter_is_the_next_keys_too(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    tpm.open_counter(0x01800053)
    tpm.adopt_successor(tpm.prepare_successor(LOG_ID).ak_public)
    assert tpm.increment_counter(0x01800053) == 2
    tpm.certify_counter(0x01800053, bytes(32))


def test_nothing_stays_in_the_tpm(open_tpm: OpenTpm, swtpm: SoftwareTpm) -> None:
    tpm = open_tpm()
    for _ in range(4):
        tpm.adopt_successor(tpm.prepare_successor(LOG_ID).ak_public)
    tpm.close()
    for kind in ("handles-transient", "handles-loaded-session", "handles-saved-session"):
        assert tpm2(swtpm.tcti, "getcap", kind) == ""
