"""A TPM that takes 3 s for every signature, while 10,000 records a second come in.

The whole daemon on a software TPM that is delayed on its way. Producers keep to the rate; what
does not keep up shows as a lower rate and later answers.
"""

import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from swt3_agent.daemon.control import call
from swt3_agent.tpm.software import start_software_tpm
from tests.bench.intake import BATCH, request_lines
from tests.bench.table import Row
from tests.support.agent import AgentProcess, IntakeConnection
from tests.support.tpm_proxy import SIGNING, TpmProxy

SIGNATURE_S = 3.0
RATE = 10_000
SECONDS = 30
CONNECTIONS = 2
_BATCHES = RATE * SECONDS // BATCH // CONNECTIONS


class Producer(threading.Thread):
    """Hands in a batch whenever one is due, and waits for its answer."""

    def __init__(self, path: Path, lines: list[bytes]) -> None:
        super().__init__()
        self._path = path
        self._lines = lines
        self.latencies: list[float] = []
        self.acknowledged = 0

    def run(self) -> None:
        every_s = SECONDS / len(self._lines)
        with IntakeConnection(self._path) as intake:
            began = time.perf_counter()
            for number, line in enumerate(self._lines):
                due = began + number * every_s
                time.sleep(max(0.0, due - time.perf_counter()))
                sent = time.perf_counter()
                answer = intake.ask_line(line.rstrip(b"\n"))
                self.latencies.append(time.perf_counter() - sent)
                self.acknowledged += answer["accepted"]


def run() -> list[Row]:
    """Acknowledged records a second, the latency of a batch, and how far signatures are behind."""
    lines = [
        request_lines(f"slow-{index}", _BATCHES, BATCH, index * _BATCHES * BATCH)
        for index in range(CONNECTIONS)
    ]
    with (
        tempfile.TemporaryDirectory(prefix="swt3-") as directory,
        start_software_tpm(Path(directory) / "tpm"),
        TpmProxy(Path(directory) / "slow.sock", Path(directory) / "tpm" / "tpm.sock") as proxy,
        AgentProcess(Path(directory), proxy.tcti, SWT3_CLEARING_LEVEL="1") as agent,
    ):
        proxy.before = _delay
        producers = [Producer(agent.intake, one) for one in lines]
        began = time.perf_counter()
        for producer in producers:
            producer.start()
        behind = _watch(agent, producers)
        seconds = time.perf_counter() - began
        records = sum(producer.acknowledged for producer in producers)
        last = _log(agent)["tree_size"] - 1
        asked = time.perf_counter()
        call(_control(agent), "prove", {"record": str(last), "hide_provenance": False}, 120.0)
        covered = time.perf_counter() - asked
    latencies = [latency for producer in producers for latency in producer.latencies]
    late = statistics.quantiles(latencies, n=100)[98]
    return [
        Row("acknowledged", records / seconds, None, None, f">= {0.95 * RATE:.0f}", "records/s"),
        Row("a batch of 500, median", statistics.median(latencies) * 1e3, None, None, "", "ms"),
        Row("the same, 99th percentile", late * 1e3, None, None, "", "ms"),
        Row("not covered yet, at most", float(max(behind)), None, None, "", "records"),
        Row("the last record covered, once asked for", covered, None, None, "", "s"),
    ]


def _delay(code: int) -> None:
    if code in SIGNING:
        time.sleep(SIGNATURE_S)


def _watch(agent: AgentProcess, producers: list[Producer]) -> list[int]:
    """How many records no signed head covered, twice a second until the producers are done."""
    behind = []
    while any(producer.is_alive() for producer in producers):
        log = _log(agent)
        behind.append(log["tree_size"] - (log["checkpoint_size"] or 0))
        time.sleep(0.5)
    return behind


def _log(agent: AgentProcess) -> dict[str, Any]:
    log: dict[str, Any] = call(_control(agent), "status", {}, 60.0)["log"]
    return log


def _control(agent: AgentProcess) -> Path:
    return agent.intake.with_name("control.sock")
