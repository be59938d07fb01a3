"""Hours of cycles as fast as they go: nothing is left in the TPM, and no descriptor open."""

from pathlib import Path

from swt3_agent.config import load_config
from swt3_agent.daemon.node import Node
from swt3_agent.tpm.software import SoftwareTpm
from tests.support.cycles import holdings, run_hour
from tests.support.software_tpm import tpm2

HOURS = 2
HEADS_PER_HOUR = 20
"""Of 360; `python -m tests.bench tpm_day` takes all those of a day."""


def test_cycles_leave_nothing_behind(swtpm: SoftwareTpm, room: Path) -> None:
    settings = {
        "SWT3_STATE_DIR": str(room / "state"),
        "SWT3_AGENT_SOCKET": str(room / "intake.sock"),
        "SWT3_TPM_TCTI": swtpm.tcti,
    }
    with Node(load_config(settings)) as node:
        run_hour(node, HEADS_PER_HOUR)
        first = holdings(node, swtpm.tcti)
        for _ in range(HOURS):
            run_hour(node, HEADS_PER_HOUR)
        assert holdings(node, swtpm.tcti) == first
        assert first.sessions == ""
        assert first.transient.count("0x") == 2  # the key and its parent
        assert not node.findings
    assert tpm2(swtpm.tcti, "getcap", "handles-transient") == ""
