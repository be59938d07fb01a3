"""Which sockets the daemon opens, by its system calls: none beyond this machine but to the ledger.

docs/protocol.md 6: at level 3 without a ledger nothing leaves the node.
"""

import subprocess
import sys
from pathlib import Path

from swt3_agent.tpm.software import SoftwareTpm
from tests.support.agent import AgentProcess, IntakeConnection
from tests.support.anchors import submission
from tests.support.ledger import API_KEY, Ledger
from tests.support.system_calls import TracedAgent

LOCAL_FAMILIES = {"AF_UNIX", "AF_NETLINK"}


def use_everything(agent: AgentProcess) -> list[str]:
    """Relay, attest, prove and ask; the fingerprints that were relayed."""
    request = submission(3, batch=0)
    with IntakeConnection(agent.intake) as intake:
        assert intake.ask(request)["accepted"] == 3
    fingerprints = [witness["anchor_fingerprint"] for witness in request["witnesses"]]
    assert agent.json("attest")
    assert agent.json("prove", fingerprints[0])["signed"]
    assert agent.json("status")["running"]
    assert agent.cli("queue").returncode == 0
    return fingerprints


def test_without_a_ledger_no_internet_socket_is_opened(
    tmp_path: Path, software_tpm: SoftwareTpm
) -> None:
    agent = TracedAgent(tmp_path, software_tpm.tcti)
    with agent:
        use_everything(agent)
        code, log = agent.stop()
        assert code == 0, log
        used = agent.network_use()
    assert "AF_UNIX" in used.families, "strace saw nothing at all"
    assert used.families <= LOCAL_FAMILIES
    assert used.addresses == set()


def test_with_a_ledger_only_its_address_is_connected_to(
    tmp_path: Path, software_tpm: SoftwareTpm
) -> None:
    agent = TracedAgent(tmp_path, software_tpm.tcti)
    with Ledger() as ledger:
        agent.environment.update(SWT3_ENDPOINT=ledger.endpoint, SWT3_API_KEY=API_KEY)
        with agent:
            ledger.await_records(use_everything(agent))
            code, log = agent.stop()
            assert code == 0, log
            assert agent.network_use().addresses == {("127.0.0.1", ledger.port)}


def test_the_tracing_itself_would_see_a_connection(tmp_path: Path) -> None:
    """Else the first test would prove nothing."""
    agent = TracedAgent(tmp_path)
    script = (
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 53))"
    )
    subprocess.run([*agent.strace(), sys.executable, "-c", script], check=False, timeout=60)
    used = agent.network_use()
    assert "AF_INET" in used.families
    assert ("192.0.2.1", 53) in used.addresses
