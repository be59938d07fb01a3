"""Entries, a custody over a state directory, and what is in its files."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from swt3_agent.config.settings import CustodySettings
from swt3_agent.protocol.custodian import CustodianKey, read_custodian_key
from swt3_agent.protocol.custody import CustodyEntry, withheld
from swt3_agent.protocol.custody_file import KeptEntry
from swt3_agent.store.custody.keeper import Custody
from swt3_agent.store.custody.log_shelf import Source
from swt3_agent.store.custody.opening import custody_key_file, open_custody
from swt3_agent.store.custody.reader import CustodyFile
from swt3_agent.store.state import Layout

PATIENCE_S = 20.0
SOURCE = Source("ab" * 16, "cd" * 16)


def entry(number: int) -> CustodyEntry:
    original = json.dumps(
        {"procedure_id": "AI-INF.1", "anchor_fingerprint": f"{number:012x}", "clearing_level": 1}
    ).encode()
    return withheld("LOCAL", original, b"{}", 3)


def keep(custody: Custody, *entries: CustodyEntry) -> None:
    custody.put(entries).result(PATIENCE_S)


def await_that(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read(path: Path, key: CustodianKey) -> tuple[list[KeptEntry], CustodyFile]:
    with CustodyFile(path) as file:
        return list(file.entries(key)), file


def originals(directory: Path, key: CustodianKey) -> list[bytes]:
    return [e.original for path in sorted(directory.glob("*.custody")) for e in read(path, key)[0]]


def opened(layout: Layout, path: Path | None = None, **settings: object) -> Custody:
    named = CustodySettings(path=None if path is None else str(path), **settings)  # type: ignore[arg-type]
    return open_custody(named, layout, SOURCE)


def own_key(layout: Layout) -> CustodianKey:
    return read_custodian_key(custody_key_file(layout).read_bytes())
