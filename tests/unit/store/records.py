"""Records as the agent would write them, for the tests of the store."""

import json
from collections.abc import Iterable
from pathlib import Path

from swt3_agent.protocol.record import Kind, Record
from swt3_agent.store.journal import Draft, Journal

RAW = "0000000000000000.seg"


def draft(text: str, kind: Kind = Kind.RELAYED, **provenance: object) -> Draft:
    body = json.dumps({"listener": "intake"} | provenance, sort_keys=True, separators=(",", ":"))
    return Draft(kind, body.encode(), text.encode())


def drafts(count: int, label: str = "record") -> list[Draft]:
    return [draft(f"{label} {number}") for number in range(count)]


def append(journal: Journal, *texts: str) -> int:
    """First sequence number of the texts, appended and durable."""
    return journal.append([draft(text) for text in texts]).result().first_seq


def texts(records: Iterable[Record]) -> list[str]:
    return [record.payload.decode() for record in records]


def forget_stop(root: Path) -> None:
    """Have the journal in ``root`` be one whose agent was killed before it said how far it was."""
    (root / "journal.high-water").unlink()


def flip(path: Path, offset: int) -> None:
    """Damage one byte of a file, as a failing disk would."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x40
    path.write_bytes(data)
