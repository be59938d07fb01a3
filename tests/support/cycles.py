"""A node's hour as fast as it goes, and what is held for it afterwards."""

from dataclasses import dataclass
from pathlib import Path

from swt3_agent.daemon.node import Node
from tests.support.bundles import relay
from tests.support.software_tpm import tpm2


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
        (_descriptors("self"), _descriptors(str(node.tpm.process_id))),
    )


def _descriptors(process: str) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def run_hour(node: Node, heads: int, steps: int = 4) -> None:
    """What the clock brings about in an hour, with so many heads and steps of the counter."""
    node.attest(["platform", "host"])
    for _ in range(steps):
        for _ in range(heads // steps):
            relay(node, 1)
            head = node.checkpoint("cadence")
            assert head is not None
            assert head.signed
        node.counter.step("cycle")
