"""Records before the range that something in it rests on: each is in the same log."""

from collections.abc import Sequence

from swt3_agent.protocol.bundle import Manifest
from swt3_agent.protocol.bundle_evidence import EarlierRecord, decode_earlier
from swt3_agent.protocol.log_tree import leaf_hash, verify_inclusion
from swt3_agent.protocol.record import Record
from swt3_agent.verify.refusal import refusal


def earlier_records(manifest: Manifest) -> list[Record]:
    """The records, in order. Raises FormatError ``EARLIER_RECORD``, ``EARLIER_ORDER`` or
    ``EARLIER_INCLUSION``."""
    records = [_record_of(manifest, shown) for shown in manifest.earlier]
    _check_order(manifest, [record.seq for record in records])
    return records


def _record_of(manifest: Manifest, shown: EarlierRecord) -> Record:
    salt_p, salt_v, record = decode_earlier(shown.entry)
    leaf = leaf_hash(record.seq, salt_p, record.payload, salt_v, record.provenance)
    path = [bytes.fromhex(node) for node in shown.inclusion]
    if not verify_inclusion(leaf, record.seq, manifest.end, path, bytes.fromhex(manifest.root)):
        raise refusal("EARLIER_INCLUSION", f"record {record.seq} is not in this log")
    return record


def _check_order(manifest: Manifest, seqs: Sequence[int]) -> None:
    if list(seqs) != sorted(set(seqs)) or (seqs and seqs[-1] >= manifest.first):
        raise refusal(
            "EARLIER_ORDER", "the records before the range are not each there once, in order"
        )
