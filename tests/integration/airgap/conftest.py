"""One node on a software TPM, and the two bundles that it exported."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from swt3_agent.config import load_config
from swt3_agent.daemon.node import Node
from tests.support.bundles import export, refuse, relay, trust_in, unpack
from tests.support.software_tpm import short_directory, start_copy

LEVEL = "1"


@dataclass(frozen=True)
class Handed:
    """``first`` and ``second`` are bundles of ``node``, one after the other; there is room for
    more in ``directory``."""

    node: Node
    trust: bytes
    first: bytes
    second: bytes
    directory: Path

    @property
    def members(self) -> dict[str, bytes]:
        return unpack(self.second)


@pytest.fixture(scope="session")
def handed(template: Path) -> Iterator[Handed]:
    with (
        short_directory() as directory,
        start_copy(template, directory / "tpm") as tpm,
        Node(
            load_config(
                {
                    "SWT3_STATE_DIR": str(directory / "state"),
                    "SWT3_AGENT_SOCKET": str(directory / "intake.sock"),
                    "SWT3_TPM_TCTI": tpm.tcti,
                    "SWT3_CLEARING_LEVEL": LEVEL,
                }
            )
        ) as node,
    ):
        relay(node, 20)
        node.checkpoint("test")
        refuse(node)
        node.attest(["host"])
        first = export(node, directory / "first.tar")
        relay(node, 9, ai_context={"provider": "vllm"})
        node.checkpoint("test")
        refuse(node)
        relay(node, 3)
        second = export(node, directory / "second.tar")
        yield Handed(node, trust_in(node), first, second, directory)
