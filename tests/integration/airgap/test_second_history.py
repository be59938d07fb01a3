"""A log whose chain of heads does not begin with the boot: another one may have been there."""

from pathlib import Path

from swt3_agent.config import load_config
from swt3_agent.daemon.node import Node
from swt3_agent.protocol.trust import Floors
from tests.support.bundles import export, judged, relay, trust_in
from tests.support.software_tpm import short_directory, start_copy, tpm2


def test_only_the_enrolled_log_may_begin_amid_another(template: Path) -> None:
    with (
        short_directory() as directory,
        start_copy(template, directory / "tpm") as tpm,
    ):
        tpm2(tpm.tcti, "pcrextend", f"13:sha256={'ab' * 32}")
        settings = {"SWT3_STATE_DIR": str(directory / "state"), "SWT3_TPM_TCTI": tpm.tcti}
        with Node(load_config(settings)) as node:
            relay(node, 5)
            node.checkpoint("test")
            whole = export(node, directory / "whole.tar")
            part = export(node, directory / "part.tar", 0, 3)
            size = node.journal.size
            alone = trust_in(node)
            other = trust_in(node, floors=Floors(4, bytes(32), 0, 0, 0))
            early = trust_in(node, floors=Floors(2, node.journal.root(2), 0, 0, 0))
            late = trust_in(node, floors=Floors(8, node.journal.root(8), 0, 0, 0))
    assert size > 8
    assert judged(whole, alone).code == "LOG_PCR_START"
    assert judged(whole, other).code == "FLOOR_ROOT"
    assert judged(whole, early).code == "VERIFIED"
    assert judged(whole, late).code == "VERIFIED"
    assert judged(part, late).code == "LOG_PCR_START"  # it does not show that it is the same log
