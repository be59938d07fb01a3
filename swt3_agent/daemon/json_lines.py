"""The agent's anchors as JSON lines on standard output, as the DaemonSet prints them.

docs/protocol.md 17. With a ledger an anchor is printed once it is settled, else once it is durable.
A line is made from the payload in the log, which is cleared already: at clearing levels 2 and 3 it
has the required and the operational fields and no others. Whoever reads the lines may be slow or
go away: the agent waits for nobody and drops lines instead.
"""

import json
import logging
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from swt3_agent import __version__
from swt3_agent.config import Config
from swt3_agent.daemon.times import iso_time
from swt3_agent.errors import AgentError
from swt3_agent.protocol.fingerprint import content_hash
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.journal import Journal
from swt3_agent.store.receipt_records import read_receipts
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)

WAITING = 1000
"""Commits that may wait for the reader; further ones are not printed."""
PATIENCE_S = 1.0
"""How long a stop waits for the reader."""

_OF_THE_WITNESS = {
    "procedure_id": "procedure",
    "anchor_fingerprint": "anchor_fingerprint",
    "anchor_epoch": "anchor_epoch",
    "factor_a": "factor_a",
    "factor_b": "factor_b",
    "factor_c": "factor_c",
    "clearing_level": "clearing_level",
}
_OF_THE_CONTEXT = (
    "silicon_vendor",
    "discovery_method",
    "topology",
    "accelerator_count",
    "gpu_count",
    "total_memory_mb",
    "hostname_hash",
)
_OPERATIONAL = ("cycle_id", "policy_version_hash", "jurisdiction", "legal_basis", "purpose_class")

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class JsonLines:
    """Prints what ``config()`` asks for, whenever the journal has it; ``write`` is standard output.

    ``config`` is asked anew for each line, so that a reload needs nothing from here.
    """

    def __init__(
        self,
        journal: Journal,
        config: Callable[[], Config],
        write: Callable[[bytes], int] = lambda data: os.write(sys.stdout.fileno(), data),
    ) -> None:
        self._journal = journal
        self._config = config
        self._write = write
        self._queue: queue.Queue[tuple[Kind, int] | bytes | None] = queue.Queue(WAITING)
        self._closed = False
        self._dropped = 0
        self._thread = threading.Thread(target=self._print, name="json-lines", daemon=True)
        journal.observe_commits(self._on_commit)

    def start(self) -> None:
        """Print from now on, first that the agent starts."""
        self._thread.start()
        config = self._config()
        self._say(
            "info",
            "started",
            version=__version__,
            mode=_mode(config),
            interval_seconds=config.intervals.gpu,
            clearing_level=config.clearing_level,
            agent_id=_agent_id(config),
            health_port=config.ops.port,
        )

    def stop(self) -> None:
        """Print what waits, if the reader takes it soon."""
        self._say("info", "stopping")
        self._offer(None)
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)

    def _say(self, level: str, message: str, **facts: object) -> None:
        if self._config().output.json_lines:
            now_ms = time.time_ns() // 1_000_000
            line = {"swt3_witness": True, "level": level, "message": message, **facts}
            self._offer(_encoded({**line, "timestamp": iso_time(now_ms)}))

    def _on_commit(
        self, first_seq: int, appends: Sequence[Sequence[tuple[Kind, bytes, bytes]]]
    ) -> None:
        """From the journal's writer, for each commit: quick."""
        config = self._config()
        if self._closed or not config.output.json_lines:
            return
        wanted = Kind.MINTED if config.ledger is None else Kind.RECEIPT
        seq = first_seq
        for append in appends:
            if append[0][0] is wanted:
                for place in range(len(append)):
                    self._offer((wanted, seq + place))
            seq += len(append)

    def _offer(self, item: tuple[Kind, int] | bytes | None) -> None:
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self._dropped += 1

    def _print(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                for line in self._lines(item):
                    self._write_whole(line)
            except OSError as error:
                self._closed = True
                told = fields(Event.OUTPUT_CLOSED, why=error.strerror)
                logger.warning("no more lines on standard output %s", told)
                return
            except (AgentError, *MALFORMED) as error:
                logger.warning("a line was not printed %s", fields(Event.LINE_LOST, why=error))

    def _lines(self, item: tuple[Kind, int] | bytes) -> list[bytes]:
        lines = []
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            message = f"{dropped} lines were dropped: nobody read them"
            lines.append(_encoded({"swt3_witness": True, "level": "error", "message": message}))
        if isinstance(item, bytes):
            return [*lines, item]
        kind, seq = item
        if kind is Kind.MINTED:
            payload = _decode(self._journal.read(seq).payload)
            return [*lines, _encoded(attestation_line(payload, self._config()))]
        return lines + [_encoded({"swt3_witness": True, **own}) for own in self._settled(seq)]

    def _settled(self, receipt: int) -> list[dict[str, Any]]:
        """The agent's own anchors that the RECEIPT record ``receipt`` says were accepted."""
        records = (
            self._journal.read(answer.seq)
            for answer in read_receipts(self._journal, receipt).receipts
            if answer.ok
        )
        return [_decode(record.payload) for record in records if record.kind is Kind.MINTED]

    def _write_whole(self, line: bytes) -> None:
        while line:
            line = line[self._write(line) :]


def attestation_line(payload: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """The line of an anchor in local mode, from its cleared payload."""
    line: dict[str, Any] = {"swt3_witness": True}
    line.update({name: payload[key] for key, name in _OF_THE_WITNESS.items()})
    line["agent_id"] = payload.get("agent_id", _agent_id(config))
    line["tenant_id"] = config.tenant
    context = payload.get("ai_context", {})
    line.update({key: context[key] for key in _OF_THE_CONTEXT if key in context})
    line.update({key: payload[key] for key in _OPERATIONAL if key in payload})
    line["timestamp"] = iso_time(payload["fingerprint_timestamp_ms"])
    return line


def _mode(config: Config) -> str:
    return "local" if config.ledger is None else "cloud"


def _agent_id(config: Config) -> str:
    """The node's, or one that stands for its name, which itself never leaves it."""
    return config.agent_id or "witness-" + content_hash(socket.gethostname())[:12]


def _encoded(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
