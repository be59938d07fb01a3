"""A day of cycles on a software TPM, as fast as they go: heads, attestations, counter steps.

What is left in the TPM and open in the processes after it must be what was there before.
"""

import tempfile
import time
from pathlib import Path

from swt3_agent.config import load_config
from swt3_agent.daemon.node import Node
from swt3_agent.tpm.software import start_software_tpm
from tests.bench.table import Row
from tests.support.cycles import holdings, run_hour

HOURS = 24
HEADS_PER_HOUR = 360


def run() -> list[Row]:
    """Seconds of the TPM's day, and what it left behind."""
    with (
        tempfile.TemporaryDirectory(prefix="swt3-") as directory,
        start_software_tpm(Path(directory) / "tpm") as tpm,
    ):
        settings = {
            "SWT3_STATE_DIR": f"{directory}/state",
            "SWT3_AGENT_SOCKET": f"{directory}/intake.sock",
            "SWT3_TPM_TCTI": tpm.tcti,
        }
        with Node(load_config(settings)) as node:
            run_hour(node, HEADS_PER_HOUR)
            before = holdings(node, tpm.tcti)
            began = time.perf_counter()
            for _ in range(HOURS):
                run_hour(node, HEADS_PER_HOUR)
            seconds = time.perf_counter() - began
            after = holdings(node, tpm.tcti)
            findings = len(node.findings)
    heads = HOURS * HEADS_PER_HOUR
    leaked = float(after != before)
    return [
        Row("heads", float(heads), None, None, "", ""),
        Row("a head, with its share of the rest", seconds / heads * 1e3, None, None, "", "ms"),
        Row("whether handles, sessions or descriptors leaked", leaked, None, None, "<= 0", ""),
        Row("findings", float(findings), None, None, "<= 0", ""),
    ]
