"""The agent's anchors on standard output, for a reader, a slow one and none."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent import AgentProcess
from tests.support.ledger import API_KEY, Ledger, Trouble

DEADLINE_S = 20.0


class Reader:
    """The reading end of the daemon's standard output."""

    def __init__(self, agent: AgentProcess) -> None:
        self._end, self._other = os.pipe()
        agent.stdout = self._other
        self._rest = b""

    def fill(self) -> None:
        """Leave no room for a byte."""
        fcntl.fcntl(self._other, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(self._other, False)
        with suppress(BlockingIOError):
            while True:
                os.write(self._other, b"x" * 512)
        os.set_blocking(self._other, True)

    def close(self) -> None:
        """Go away."""
        for end in (self._end, self._other):
            with suppress(OSError):
                os.close(end)

    def lines(self) -> Iterator[dict[str, Any]]:
        """The lines as they come, within the deadline."""
        os.set_blocking(self._end, False)
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            with suppress(BlockingIOError):
                self._rest += os.read(self._end, 65536)
            *whole, self._rest = self._rest.split(b"\n")
            for line in whole:
                yield json.loads(line)
            time.sleep(0.01)


@pytest.fixture
def agent(room: Path) -> AgentProcess:
    config = room / "agent.yaml"
    config.write_text("agent:\n  output:\n    json_lines: true\n")
    return AgentProcess(room, arguments=["--config", str(config)])


@pytest.fixture
def reader(agent: AgentProcess) -> Iterator[Reader]:
    reader = Reader(agent)
    yield reader
    reader.close()


@pytest.mark.parametrize("level", ["1", "3"])
def test_every_anchor_is_printed_as_far_as_its_level_lets_it(
    agent: AgentProcess, reader: Reader, level: str
) -> None:
    agent.environment |= {"SWT3_CLEARING_LEVEL": level, "SWT3_AGENT_ID": "node-7"}
    with agent:
        lines = reader.lines()
        started = next(lines)
        assert started["swt3_witness"] is True
        assert (started["level"], started["mode"]) == ("info", "local")
        assert started["clearing_level"] == int(level)
        anchor = next(line for line in lines if line.get("procedure") == "AI-HW.3")
        (record,) = [
            record
            for record in agent.records()
            if record["kind"] == "minted" and "AI-HW.3" in str(record)
        ]
    assert anchor["anchor_fingerprint"] in str(record)
    assert anchor["agent_id"] == "node-7"
    assert anchor["tenant_id"] == "LOCAL"
    assert anchor["timestamp"].endswith("Z")
    if level == "3":
        assert set(anchor) == {
            "swt3_witness",
            "procedure",
            "anchor_fingerprint",
            "anchor_epoch",
            "factor_a",
            "factor_b",
            "factor_c",
            "clearing_level",
            "agent_id",
            "tenant_id",
            "timestamp",
        }


def test_a_reader_that_stalls_stops_nobody(agent: AgentProcess, reader: Reader) -> None:
    reader.fill()
    with agent:
        assert agent.json("attest", "host")
        assert agent.json("status")["running"]
        assert agent.stop()[0] == 0


def test_a_reader_that_goes_away_is_noted_and_no_more(agent: AgentProcess, reader: Reader) -> None:
    with agent:
        next(reader.lines())
        reader.close()
        agent.json("attest", "platform")
        agent.await_log("event=OUTPUT_CLOSED")
        assert agent.json("attest", "platform")
        assert agent.stop()[0] == 0


def test_with_a_ledger_an_anchor_is_printed_once_it_is_settled(
    agent: AgentProcess, reader: Reader
) -> None:
    with Ledger() as ledger:
        ledger.troubles.append(Trouble(503))
        agent.environment |= {
            "SWT3_ENDPOINT": ledger.endpoint,
            "SWT3_API_KEY": API_KEY,
            "SWT3_CLEARING_LEVEL": "1",
        }
        with agent:
            lines = reader.lines()
            assert next(lines)["mode"] == "cloud"
            anchor = next(line for line in lines if line.get("procedure_id") == "AI-HW.3")
            assert anchor.pop("swt3_witness") is True
            assert anchor in [json.loads(record) for record in ledger.stored]
