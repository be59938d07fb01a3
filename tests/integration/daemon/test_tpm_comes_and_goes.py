"""A TPM that is late, reset or used by others, and a key that is lost: said, not papered over."""

import json
import logging
from pathlib import Path

import pytest

from swt3_agent.config import Config, load_config
from swt3_agent.daemon import back_off
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.operations import prove, quote
from swt3_agent.daemon.schedule import make_head
from swt3_agent.daemon.views import status_view, stopped_view
from swt3_agent.errors import TpmError
from swt3_agent.protocol.appraisal import Outcome
from swt3_agent.protocol.record import Kind
from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from tests.support.agent import AgentProcess
from tests.support.software_tpm import tpm2

NONCE = "00112233445566778899aabbccddeeff"


def settings(room: Path) -> Config:
    return load_config(
        {
            "SWT3_STATE_DIR": str(room / "state"),
            "SWT3_AGENT_SOCKET": str(room / "intake.sock"),
            "SWT3_TPM_TCTI": f"swtpm:path={room}/tpm/tpm.sock",
        }
    )


def payloads(node: Node, kind: Kind) -> list[dict[str, object]]:
    return [json.loads(record.payload) for record in node.journal.scan(0) if record.kind is kind]


def judged(node: Node) -> tuple[Outcome, list[str]]:
    """What AI-HW.3 comes to now, and why."""
    (attestation,) = node.attest(["platform"])
    appraisal = attestation.appraisal
    return appraisal.outcome, [reason.code for reason in appraisal.reasons]


def codes(node: Node) -> list[str]:
    return [finding.code for finding in node.findings]


def test_a_late_tpm_is_taken_up_with_the_next_head(
    swtpm: SoftwareTpm,
    room: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(back_off, "FIRST_S", 0.0)
    caplog.set_level(logging.INFO)
    swtpm.stop()
    with Node(settings(room)) as node:
        lack = status_view(node, None)["log"]["checkpoint_error"]
        assert (lack["code"], lack["since"] > 0) == ("TPM_ABSENT", True)
        assert not status_view(node, None)["log"]["checkpoint_signed"]
        with start_software_tpm(room / "tpm"):
            head = node.checkpoint("cadence")
            assert head is not None
            assert head.signed
            status = status_view(node, None)
            assert status["tpm"]["kind"] == "software-tpm"
            assert "no root of trust" in status["tpm"]["detail"]
            assert status["log"]["checkpoint_error"] is None
            without, with_tpm = payloads(node, Kind.BOOT)
            assert (without["tpm"], without["log_pcr"]) == (None, None)
            assert with_tpm["log_pcr"] == {"index": 13, "value": "00" * 32}
            assert len(payloads(node, Kind.KEY)) == 1
            assert (codes(node), node.tpm_lack) == ([], None)
            node.attest(["host"])
            assert node.checkpoint("cadence") is not None
    assert "a TPM signs from now on tpm=software-tpm" in caplog.text
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        assert codes(node) == ["TPM_RESET_UNDER_RUNNING_SYSTEM"]  # it was restarted just now


@pytest.mark.parametrize("ask", ["prove", "quote", "attest"])
def test_who_waits_for_a_late_tpm_gets_it_at_once(swtpm: SoftwareTpm, room: Path, ask: str) -> None:
    swtpm.stop()
    with Node(settings(room)) as node, start_software_tpm(room / "tpm"):
        assert node.checkpoint("cadence") is None  # tried a moment ago, and nothing new
        if ask == "prove":
            assert prove(node, "0", hide_provenance=False)["signed"]
        elif ask == "quote":
            assert quote(node, NONCE)["root_of_trust"] == "software-tpm"
        else:
            assert node.attest(["platform"])[0].appraisal.outcome.value == "NOT_COMPARED"
        assert node.tpm_identity is not None
        head = node.checkpoint("cadence", covering=0)
        assert head is None or head.signed
        assert node.head_lack is None


def test_a_running_daemon_signs_once_its_tpm_is_there(swtpm: SoftwareTpm, room: Path) -> None:
    swtpm.stop()
    with AgentProcess(room, f"swtpm:path={room}/tpm/tpm.sock") as agent:
        assert agent.json("status")["tpm"]["kind"] == "none"
        with start_software_tpm(room / "tpm"):
            assert agent.json("prove", "0", "-o", str(room / "proof.json"))["signed"]
            status = agent.json("status")
            assert status["tpm"]["kind"] == "software-tpm"
            assert status["log"]["checkpoint_signed"]
            agent.stop()
    assert "tpm=none heads=unsigned" in agent.log.read_text()
    assert agent.cli("fsck").returncode == 0


def test_what_happens_to_the_log_pcr_of_a_running_node_is_told(
    swtpm: SoftwareTpm, room: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Node(settings(room)) as node:
        node.checkpoint("start", covering=0)
        tpm2(swtpm.tcti, "pcrextend", f"13:sha256={'ab' * 32}")
        node.attest(["host"])
        node.checkpoint("cadence")
        assert codes(node) == ["LOG_PCR_FOREIGN_EXTEND"]
        swtpm.stop()
        with start_software_tpm(room / "tpm"):
            node.attest(["host"])
            with pytest.raises(TpmError, match="was not extended"):
                node.checkpoint("cadence")  # the TPM no longer knows the key that was loaded
            node.checkpoint("cadence")
            shown = [finding["code"] for finding in status_view(node, None)["findings"]]
            assert shown == ["LOG_PCR_FOREIGN_EXTEND", "TPM_RESET_UNDER_RUNNING_SYSTEM"]
            assert judged(node) == (Outcome.FAIL, ["TPM_RESET_UNDER_RUNNING_SYSTEM"])
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert sum("code=LOG_PCR_FOREIGN_EXTEND" in line and "remedy=" in line for line in told) == 1
    assert sum("TPM_RESET_UNDER_RUNNING_SYSTEM" in line for line in told) == 1


def test_registers_of_a_tpm_that_was_reset_tell_nothing_of_this_boot_even_after_a_restart(
    swtpm: SoftwareTpm, room: Path
) -> None:
    with Node(settings(room)) as node:
        node.checkpoint("start", covering=0)
        assert judged(node) == (Outcome.NOT_COMPARED, ["NO_REFERENCE"])
    swtpm.stop()
    with start_software_tpm(room / "tpm"):
        for _ in range(2):
            with Node(settings(room)) as node:
                assert judged(node) == (Outcome.FAIL, ["TPM_RESET_UNDER_RUNNING_SYSTEM"])


def test_heads_that_fail_are_shown_with_the_time_since_when(swtpm: SoftwareTpm, room: Path) -> None:
    with Node(settings(room)) as node:
        assert status_view(node, None)["log"]["checkpoint_error"] is None
        swtpm.stop()
        node.attest(["host"])
        shown = []
        for _ in range(2):
            with pytest.raises(TpmError, match="there is no TPM at"):
                node.checkpoint("cadence")
            shown.append(status_view(node, None)["log"]["checkpoint_error"])
        assert shown[0]["code"] == "TPM_ABSENT"
        assert shown[0]["since"] == shown[1]["since"]
        with start_software_tpm(room / "tpm"):
            node.checkpoint("cadence")
            assert status_view(node, None)["log"]["checkpoint_error"] is None


@pytest.mark.parametrize(
    ("lost", "code"), [("ak.json", "TPM_KEY_GONE"), ("ak.auth", "TPM_KEY_AUTH_LOST")]
)
def test_a_key_that_the_log_names_is_never_made_anew(
    swtpm: SoftwareTpm, room: Path, lost: str, code: str
) -> None:
    with Node(settings(room)) as node:
        first = node.tpm_identity
        assert first is not None
    path = room / "state" / "keys" / lost
    kept = path.read_bytes()
    path.unlink()
    with Node(settings(room)) as node:
        assert status_view(node, None)["tpm"]["kind"] == "none"
        assert codes(node) == [code]
        assert not path.exists()
        (platform,) = node.attest(["platform"])
        assert platform.appraisal.outcome.value == "FAIL"
        assert payloads(node, Kind.BOOT)[-1]["findings"]
        path.write_bytes(kept)
        assert quote(node, NONCE)["root_of_trust"] == "software-tpm"  # restored while it runs
        again = node.tpm_identity
        assert again is not None
        assert again.ak_public == first.ak_public
        assert len(payloads(node, Kind.KEY)) == 1


def test_a_key_that_never_got_into_a_log_may_be_made_again(swtpm: SoftwareTpm, room: Path) -> None:
    swtpm.stop()
    with Node(settings(room)):
        pass
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        assert node.tpm_identity is not None
        assert node.tpm_identity.ak_created


def test_what_hinders_heads_is_logged_once(
    swtpm: SoftwareTpm, room: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Node(settings(room)) as node:
        swtpm.stop()
        for _ in range(4):
            node.attest(["host"])
            make_head(node, "cadence")
        assert node.head_lack is not None
    told = [r.getMessage() for r in caplog.records if r.name == make_head.__module__]
    assert 1 <= len(told) <= 2  # it failed at first, and was then absent
    assert len({line.split("code=")[1].split()[0] for line in told}) == len(told)


def test_a_restart_does_not_wash_findings_off(swtpm: SoftwareTpm, room: Path) -> None:
    with Node(settings(room)) as node:
        for _ in range(2):
            tpm2(swtpm.tcti, "pcrextend", f"13:sha256={'ab' * 32}")
            node.attest(["host"])
            node.checkpoint("cadence")
        assert codes(node) == ["LOG_PCR_FOREIGN_EXTEND"] * 2
    tpm2(swtpm.tcti, "pcrextend", f"13:sha256={'cd' * 32}")
    for _ in range(3):
        stopped = stopped_view(settings(room))["findings"]
        with Node(settings(room)) as node:
            shown = status_view(node, None)["findings"]
    assert {finding["code"] for finding in shown} == {"LOG_PCR_FOREIGN_EXTEND"}
    assert shown[0]["detail"].startswith("3× in this boot before")
    assert stopped == shown
    assert codes(node) == []
