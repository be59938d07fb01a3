"""A TPM that somebody else locks, fills, clears, swaps or extends."""

import struct
import subprocess
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

import pytest

from swt3_agent.errors import RemoteError
from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from tests.support.software_tpm import TOOL_TIMEOUT_S, tpm2
from tests.support.tpm_proxy import TpmProxy
from tests.support.victims import Victim, found, head_lack

INDEX = "0x1500001"
_NO_SESSION, _FLUSH, _LOAD_EXTERNAL, _START_SESSION = 0x8001, 0x165, 0x167, 0x176
_RH_NULL, _ALG_RSA, _ALG_NULL, _ALG_SHA256 = 0x40000007, 0x0001, 0x0010, 0x000B
_SIGN = 0x40000  # TPMA_OBJECT


def test_a_lockout_does_not_concern_us(victim: Victim, swtpm: SoftwareTpm) -> None:
    """The agent's keys and counter are noDA: whoever guesses elsewhere does not lock it out."""
    trust = victim.trust()
    tpm2(swtpm.tcti, "dictionarylockout", "-s", "-n", "1", "-t", "3600", "-l", "3600")
    tpm2(swtpm.tcti, "nvdefine", INDEX, "-C", "o", "-s", "8", "-p", "right")
    for guess in ("wrong", "right"):
        refused = subprocess.run(
            ["tpm2_nvread", "-T", swtpm.tcti, INDEX, "-P", guess],
            capture_output=True,
            timeout=TOOL_TIMEOUT_S,
            check=False,
        )
        assert refused.returncode != 0
    assert "inLockout:                 1" in tpm2(swtpm.tcti, "getcap", "properties-variable")
    victim.cover(victim.take())
    victim.stop()
    victim.start()
    status = victim.cover(victim.take())
    assert (found(status), head_lack(status)) == (set(), None)
    assert status["counter"]["error"] is None
    assert victim.judged(trust).code == "VERIFIED"


def test_slots_that_others_fill_delay_heads_until_they_are_free(
    victim: Victim, swtpm: SoftwareTpm, room: Path
) -> None:
    """This TPM has no resource manager: who leaves sessions behind takes them from all."""
    trust = victim.trust()
    sessions: list[int] = []

    def fails_for_want_of_one(status: dict[str, Any]) -> bool:
        sessions.extend(fill_sessions(room))  # the agent may have had one of its own meanwhile
        return head_lack(status) == "TPM_BUSY"

    victim.take()
    status = victim.await_status(fails_for_want_of_one, "a lack of sessions")
    assert found(status) == set()
    for session in sessions:
        send(room, _FLUSH, struct.pack(">I", session))
    status = victim.cover(victim.take())
    assert (found(status), head_lack(status)) == (set(), None)
    assert victim.judged(trust).code == "VERIFIED"
    fill_sessions(room)
    victim.stop()  # a start takes what was left behind for leftovers of its own
    victim.start()
    assert found(victim.cover(victim.take())) == set()
    victim.assert_nothing_is_lost()


def test_slots_of_objects_that_others_fill_delay_what_needs_one_more_and_no_head(
    victim: Victim, room: Path
) -> None:
    """The agent's key and its parent lie in two of three: a head needs no other."""
    trust = victim.trust()
    objects = fill_objects(room)
    assert objects
    status = victim.cover(victim.take())
    assert (found(status), head_lack(status)) == (set(), None)
    with pytest.raises(RemoteError) as refused:
        victim.ask("enrol_request")  # which loads the endorsement key
    assert refused.value.code == "TPM_BUSY"
    for handle in objects:
        send(room, _FLUSH, struct.pack(">I", handle))
    assert victim.ask("enrol_request")
    victim.stop()
    assert len(fill_objects(room)) == 3
    victim.start()  # which takes them for leftovers of its own
    assert found(victim.cover(victim.take())) == set()
    assert victim.judged(trust).code == "VERIFIED"
    victim.assert_nothing_is_lost()


def fill_sessions(room: Path) -> list[int]:
    """Start HMAC sessions until the TPM takes no more; their handles."""
    body = struct.pack(
        ">IIH16sHBHH", _RH_NULL, _RH_NULL, 16, bytes(16), 0, 0, _ALG_NULL, _ALG_SHA256
    )
    return fill(room, _START_SESSION, body)


def fill_objects(room: Path) -> list[int]:
    """Load public keys until the TPM takes no more; their handles."""
    area = struct.pack(
        ">HHIHHHHIH", _ALG_RSA, _ALG_SHA256, _SIGN, 0, _ALG_NULL, _ALG_NULL, 2048, 0, 256
    ) + bytes([0xFF] * 256)
    body = struct.pack(">HH", 0, len(area)) + area + struct.pack(">I", _RH_NULL)
    return fill(room, _LOAD_EXTERNAL, body)


def fill(room: Path, code: int, body: bytes) -> list[int]:
    """Repeat a command that takes a slot until none is left; the handles."""
    handles = []
    while (answer := send(room, code, body))[0] == 0:
        handles.append(int.from_bytes(answer[1][:4], "big"))
    return handles


def send(room: Path, code: int, body: bytes) -> tuple[int, bytes]:
    """Response code and parameters of one command, on a connection of its own."""
    with socket(AF_UNIX) as connection:
        connection.settimeout(TOOL_TIMEOUT_S)
        connection.connect(str(room / "tpm" / "tpm.sock"))
        connection.sendall(struct.pack(">HII", _NO_SESSION, 10 + len(body), code) + body)
        answer = connection.recv(4096)
    return struct.unpack_from(">I", answer, 6)[0], answer[10:]


def test_a_tpm_that_was_cleared_is_never_signed_with_in_silence(
    victim: Victim, swtpm: SoftwareTpm
) -> None:
    trust = victim.trust()
    tpm2(swtpm.tcti, "clear")
    assert_unsigned_for(victim, trust, "TPM_KEY_CLEARED")


def test_another_tpm_is_not_taken_for_the_one_that_was(
    behind_proxy: Victim, proxy: TpmProxy, room: Path
) -> None:
    trust = behind_proxy.trust()
    with start_software_tpm(room / "other"):
        proxy.behind = room / "other" / "tpm.sock"
        assert_unsigned_for(behind_proxy, trust, "TPM_KEY_OTHER_TPM")
        behind_proxy.stop()


def assert_unsigned_for(victim: Victim, trust: bytes, code: str) -> None:
    """The log goes on without signatures, under the running daemon and after a start, says why, and
    proves nothing."""
    last = victim.take()
    status = victim.await_lack(code)
    assert status["log"]["tree_size"] > last
    assert code in {reason["code"] for reason in status["readiness"]["reasons"]}
    victim.stop()
    victim.start()
    victim.take()
    status = victim.await_lack(code)
    assert code in found(status)
    report = victim.judged(trust)
    assert (report.outcome.value, report.code) == ("undecided", "LOG_UNSIGNED")
    victim.assert_nothing_is_lost()


def test_an_extend_of_a_stranger_is_a_finding_and_ends_what_can_be_shown(
    victim: Victim, swtpm: SoftwareTpm
) -> None:
    trust = victim.trust()
    tpm2(swtpm.tcti, "pcrextend", f"13:sha256={'ab' * 32}")
    status = victim.cover(victim.take())
    assert found(status) == {"LOG_PCR_FOREIGN_EXTEND"}
    assert head_lack(status) is None
    assert victim.judged(trust).code == "HEAD_CHAIN"
    victim.assert_nothing_is_lost()
