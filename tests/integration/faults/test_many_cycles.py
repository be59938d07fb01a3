"""Hours of cycles as fast as they go: nothing is left in the TPM, and no descriptor open."""

from dataclasses import dataclass
from pathlib import Path

from swt3_agent.config import load_config
from swt3_agent.daemon.node import Node
from swt3_agent.tpm.software import SoftwareTpm
from tests.support.bundles import relay
from tests.support.software_tpm import tpm2

HOURS = 4
HEADS_PER_HOUR = 20
"""Of 360; `python -m tests.bench tpm_day` takes all those of a day."""


@dataclass(frozen=True)
class Holdings:
    """What is held in the TPM, and which descriptors agent and owner of the TPM have open."""

    transient: str
    sessions: str
    descriptors: tuple[int, int]


def holdings(node: Node, tcti: str) -> Holdings:
    assert node.tpm is not None
    return Holdings(
        tpm2(tcti, "getcap", "handles-transient"),
        "".join(tpm2(tcti, "getcap", f"handles-{kind}-session") for kind in ("loaded", "saved")),
        (descriptors("self"), descriptors(str(node.tpm.process_id))),
    )


def descriptors(process: str) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def test_cycles_leave_nothing_behind(swtpm: SoftwareTpm, room: Path) -> None:
    settings = {
        "SWT3_STATE_DIR": str(room / "state"),
        "SWT3_AGENT_SOCKET": str(room / "intake.sock"),
        "SWT3_TPM_TCTI": swtpm.tcti,
    }
    with Node(load_config(settings)) as node:
        hour(node)
        first = holdings(node, swtpm.tcti)
        for _ in range(HOURS):
            hour(node)
        assert holdings(node, swtpm.tcti) == first
        assert first.sessions == ""
        assert first.transient.count("0x") == 2  # the key and its parent
        assert not node.findings
    assert tpm2(swtpm.tcti, "getcap", "handles-transient") == ""


def hour(node: Node) -> None:
    """What the clock brings about in an hour."""
    node.attest(["platform", "host"])
    for _ in range(4):
        for _ in range(HEADS_PER_HOUR // 4):
            relay(node, 1)
            head = node.checkpoint("cadence")
            assert head is not None
            assert head.signed
        node.counter.step("cycle")
