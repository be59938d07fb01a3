"""Receipts that come back over an air gap: judged, kept, and settled (docs/formats.md, "Receipts
file")."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from swt3_agent.daemon.node import Node
from swt3_agent.errors import ConfigError, FormatError
from swt3_agent.protocol.bundle import Disclosure
from swt3_agent.protocol.receipts import ReceiptStatement
from swt3_agent.store.bundle.disclosure import disclosure_of
from swt3_agent.store.exports import Export
from swt3_agent.store.settlements import FORWARDABLE, Receipt, Settlement, Withheld
from swt3_agent.verify import importer_public_key, read_receipts

_AT_ONCE = 16_384  # records of one settlement: a large bundle must not be in memory at once
_MAX_KEY = 64 * 1024  # bytes; a public key has a few hundred


def import_receipts(node: Node, text: str) -> dict[str, Any]:
    """Settle what the receipts file ``text`` is for; what came of it.

    What is settled stays settled, but for a record that was refused and is accepted now. Raises
    ConfigError ``RECEIPTS_NO_IMPORTER`` or ``IMPORTER_KEY``; FormatError ``RECEIPTS_*`` and
    ``NOTE_FORMAT``; JournalError ``SETTLEMENT_GAP`` where the receipts of an earlier bundle are
    still to come.
    """
    statement = read_receipts(text.encode(), _importers(node))
    export = _export_of(node, statement)
    before = node.settlements.cursor
    refused = dict(statement.refused)
    _check_count(node, export, statement, refused)
    accepted_since = 0
    for start in range(statement.first, statement.end, _AT_ONCE):
        end = min(start + _AT_ONCE, statement.end)
        settlement = _settlement(node, export, statement, refused, start, end)
        if end <= before:
            settlement = _of_refused(node, settlement)
            accepted_since += len(settlement.receipts)
        if end > before or settlement.receipts:
            node.evidence.put(text.encode())
            node.settlements.append(settlement)
    return {
        "importer": statement.importer,
        "manifest": statement.manifest,
        "first": statement.first,
        "end": statement.end,
        "accepted": statement.accepted,
        "refused": len(statement.refused),
        "repeated": before >= statement.end,
        "accepted_since": accepted_since,
        "settled_to": node.settlements.cursor,
    }


def _importers(node: Node) -> list[bytes]:
    paths = node.config.receipts.importers
    if not paths:
        raise ConfigError(
            "RECEIPTS_NO_IMPORTER",
            "no importer is configured, so that nobody's receipts settle anything",
            remedy="name the importer's public key (PEM) in agent.receipts.importers",
        )
    keys = []
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                keys.append(importer_public_key(file.read(_MAX_KEY)))
        except (OSError, FormatError) as error:
            raise ConfigError(
                "IMPORTER_KEY",
                f"the importer's key {path} cannot be used: {error}",
                remedy="give the PEM file of an Ed25519 public key: openssl pkey -in KEY -pubout",
            ) from error
    return keys


def _export_of(node: Node, statement: ReceiptStatement) -> Export:
    """The export that the receipts are for, as the log has it."""
    if statement.node_id != node.node_id:
        raise _refused("RECEIPTS_NODE", f"the receipts are for node {statement.node_id}")
    if statement.log_id != node.log_id:
        raise _refused("RECEIPTS_LOG", f"the receipts are for log {statement.log_id}")
    export = node.exports.find(statement.manifest)
    if export is None:
        raise _refused("RECEIPTS_BUNDLE", "this log exported no bundle with that manifest")
    stated = statement.first, statement.end, statement.root.hex()
    if stated != (export.first, export.end, export.root):
        raise _refused("RECEIPTS_RANGE", "the receipts state another range or root of that bundle")
    return export


def _check_count(
    node: Node, export: Export, statement: ReceiptStatement, refused: Mapping[int, str]
) -> None:
    shown = 0
    unknown = set(refused)
    for seq, disclosure in _anchors(node, export, export.first, export.end):
        if disclosure.is_shown:
            shown += 1
            unknown.discard(seq)
    if unknown:
        raise _refused("RECEIPTS_RANGE", f"record {min(unknown)} was no anchor of that bundle")
    if statement.accepted + len(refused) != shown:
        raise _refused(
            "RECEIPTS_COUNT",
            f"the receipts speak of {statement.accepted + len(refused)} anchors, and the bundle"
            f" had {shown}",
        )


def _settlement(
    node: Node,
    export: Export,
    statement: ReceiptStatement,
    refused: Mapping[int, str],
    first: int,
    end: int,
) -> Settlement:
    receipts: list[Receipt] = []
    withheld: list[Withheld] = []
    for seq, disclosure in _anchors(node, export, first, end):
        if disclosure.is_shown:
            receipts.append(Receipt(seq, ok=seq not in refused, error=refused.get(seq)))
        else:
            withheld.append(Withheld(seq, seq + 1, disclosure.name))
    return Settlement(
        by="bundle",
        first=first,
        end=end,
        total=len(receipts) + len(withheld),
        receipts=tuple(receipts),
        withheld=tuple(withheld),
        source=statement.manifest,
        signer=statement.importer,
    )


def _of_refused(node: Node, settlement: Settlement) -> Settlement:
    """What of a settled range is new: receipts that accept what earlier ones refused."""
    accepted = [receipt for receipt in settlement.receipts if receipt.ok]
    refused = node.settlements.still_refused(receipt.seq for receipt in accepted)
    return replace(
        settlement, receipts=tuple(receipt for receipt in accepted if receipt.seq in refused)
    )


def _anchors(node: Node, export: Export, first: int, end: int) -> Iterator[tuple[int, Disclosure]]:
    """Forwardable records of ``[first, end)``, and whether they were in the bundle."""
    for record in node.journal.scan(first, end):
        if record.kind in FORWARDABLE:
            yield record.seq, disclosure_of(record, export.tenant, export.level)


def _refused(code: str, message: str) -> FormatError:
    return FormatError(
        code, message, remedy="ask the importer for the receipts of a bundle of this node"
    )
